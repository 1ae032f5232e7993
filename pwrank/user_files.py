"""Files that the caller brings to a command: pairs to score, interactions to judge by."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pwrank.config import Config
from pwrank.datasets import IdType, IdTypes
from pwrank.errors import SourceError

ALIASES = {
    "user_id": ("user_id", "userId", "userID", "user"),
    "item_id": ("item_id", "movieId", "itemId", "itemID", "item"),
}
"""Names that a caller's file may have for the ids, after the configured ones."""

WRITERS = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class UserFile:
    """All columns as they came, and the ids in the types of the lake (null = not one)."""

    frame: pl.DataFrame
    user_id: pl.Series
    item_id: pl.Series


def read_user_file(path: Path, config: Config, ids: IdTypes) -> UserFile:
    """Read a csv, csv.gz, parquet or jsonl file with a user and an item column.

    Raises SourceError naming the file and the columns it has instead.
    """
    frame = _read(path)
    columns = config.source.columns
    user = _find(frame, path, "user_id", columns.user_id)
    item = _find(frame, path, "item_id", columns.item_id)
    return UserFile(
        frame,
        _as_ids(frame[user], ids.user).rename("user_id"),
        _as_ids(frame[item], ids.item).rename("item_id"),
    )


def write_user_file(frame: pl.DataFrame, path: Path) -> None:
    """Write in the format that the name ends in, whole or not at all."""
    check_ending(path)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        if path.suffix == ".csv":
            frame.write_csv(temporary)
        elif path.suffix == ".parquet":
            frame.write_parquet(temporary, compression="zstd")
        else:
            frame.write_ndjson(temporary)
        temporary.replace(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be written ({error.strerror})") from None
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            f"{path}: cannot be written ({_first_line(error)}); try .parquet"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def check_ending(path: Path) -> None:
    """Raise SourceError unless the name ends in a format that can be written."""
    if path.suffix not in WRITERS:
        raise SourceError(f"{path}: unknown ending; use one of {', '.join(WRITERS)}")


def _read(path: Path) -> pl.DataFrame:
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            frame = pl.read_parquet(path)
        elif name.endswith((".jsonl", ".ndjson")):
            frame = pl.read_ndjson(path)
        else:
            # Every value stays text, so that ids keep their spelling.
            frame = pl.read_csv(path, infer_schema=False)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except pl.exceptions.NoDataError:
        raise SourceError(f"{path}: empty file") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{path}: cannot be read ({_first_line(error)})") from None
    if frame.is_empty():
        raise SourceError(f"{path}: no rows")
    return frame


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _find(frame: pl.DataFrame, path: Path, role: str, configured: str) -> str:
    for name in (configured, *ALIASES[role]):
        if name in frame.columns:
            return name
    near = difflib.get_close_matches(configured, frame.columns, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise SourceError(
        f"{path}: no column {configured!r} (columns: {', '.join(frame.columns)}){hint}"
    )


def _as_ids(values: pl.Series, wanted: IdType) -> pl.Series:
    """Ids in the lake's type; what does not fit becomes null: nobody the lake knows."""
    if wanted is IdType.STRING:
        return values.cast(pl.String)
    return values.cast(pl.Int64, strict=False)
