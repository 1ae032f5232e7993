"""Files that the caller brings to a command: pairs to score, interactions to judge by."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import polars as pl

from pwrank.config import Config, SourceConfig
from pwrank.datasets import IdType, IdTypes, whole_numbers
from pwrank.errors import SourceError, first_line, machine_error
from pwrank.sources.delimited import (
    QuotedRecords,
    column_names,
    fields_of,
    skip_blank_lines,
    sniffed_separator,
)
from pwrank.sources.files import (
    LINE_COLUMN,
    SourceFile,
    did_you_mean,
    encoding_of,
    holds_json,
    holds_parquet,
    open_text,
    readable,
)
from pwrank.sources.lines import UNDECODABLE, Lines, collect_batches
from pwrank.sources.parquet import bytes_as_text
from pwrank.store import replacing

ALIASES = {
    "user_id": ("user_id", "userId", "userID", "user"),
    "item_id": ("item_id", "movieId", "itemId", "itemID", "item"),
}
"""Names that a caller's file may have for the ids, after the configured ones."""

WRITERS = (".csv", ".tsv", ".parquet", ".jsonl")

SEPARATORS = {".csv": ",", ".tsv": "\t"}

FORMATS = "bring a .csv, .tsv or .jsonl (each also .gz) or .parquet file"


@dataclass(frozen=True)
class UserFile:
    """All columns as they came, and the ids in the types of the lake (null = not one)."""

    path: Path
    frame: pl.DataFrame
    values: pl.DataFrame
    """The same as the sources would read them: bytes as UTF-8, null where they are none."""
    user_id: pl.Series
    item_id: pl.Series
    without_id: pl.Series
    """bool: rows whose user or item id is null or empty."""


def read_user_file(path: Path, config: Config, ids: IdTypes) -> UserFile:
    """Read a csv, tsv or jsonl (each also .gz) or parquet file with a user and an item column.

    Raises SourceError naming the file and the columns it has instead.
    """
    frame = _read(path, config.source)
    columns = config.source.columns
    values = frame.with_columns(text_of(column) for column in frame.select(pl.col(pl.Binary)))
    user = find_column(frame.columns, path, "user_id", columns.user_id)
    item = find_column(frame.columns, path, "item_id", columns.item_id)
    return UserFile(
        path,
        frame,
        values,
        _as_ids(values[user], ids.user, path).rename("user_id"),
        _as_ids(values[item], ids.item, path).rename("item_id"),
        _is_empty(values[user]) | _is_empty(values[item]),
    )


def refuse_columns(brought: UserFile, added: Sequence[str]) -> None:
    """Raise SourceError if the file has a column of a name that is to be added."""
    taken = [repr(name) for name in added if name in brought.frame.columns]
    if taken:
        which = f"columns {' and '.join(taken)}" if len(taken) > 1 else f"column {taken[0]}"
        raise SourceError(
            f"{brought.path}: its own {which} would be written over; rename what the file has"
        )


def write_user_file(frame: pl.DataFrame, path: Path) -> None:
    """Write in the format that the name ends in, whole or not at all."""
    check_out(path)
    try:
        with replacing(path) as temporary:
            if path.suffix in SEPARATORS:
                frame.write_csv(temporary, separator=SEPARATORS[path.suffix])
            elif path.suffix == ".parquet":
                frame.write_parquet(temporary, compression="zstd")
            else:
                frame.write_ndjson(temporary)
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be written ({error.strerror or first_line(error)}); "
            f"{'free space, or ' if machine_error(error) else ''}name another file"
        ) from None
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            f"{path}: cannot be written ({first_line(error)}); try .parquet"
        ) from None


def check_out(path: Path, *, brought: Path | None = None, lake: Path | None = None) -> None:
    """Raise SourceError unless a file of that name may be written: its ending, folder and place.

    brought, lake: what it may not be, and where it may not lie.

    Cheap, so that it can be asked before the work.
    """
    if path.suffix not in WRITERS:
        raise SourceError(f"{path}: unknown ending; use one of {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise SourceError(
            f"{path}: cannot be written (no folder {path.parent}); make it or name another"
        )
    if brought is not None and path.resolve() == brought.resolve():
        raise SourceError(f"{path}: is the file that is read; name another file to write")
    if lake is not None and path.resolve().is_relative_to(lake.resolve()):
        raise SourceError(
            f"{path}: lies in the lake, which only runs write to; name another folder"
        )


def _read(path: Path, source: SourceConfig) -> pl.DataFrame:
    try:
        frame = _parse(path, source)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; {FORMATS}") from None
    except IsADirectoryError:
        raise SourceError(f"{path}: is a folder; name one file of it") from None
    except pl.exceptions.NoDataError:
        raise SourceError(f"{path}: empty file; {FORMATS}") from None
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({first_line(error)}); {FORMATS}") from None
    if frame.is_empty():
        raise SourceError(f"{path}: no rows; {FORMATS}")
    return frame


def _parse(path: Path, source: SourceConfig) -> pl.DataFrame:
    """Read by the ending; a name that tells nothing is csv."""
    if holds_parquet(path):
        return pl.read_parquet(path)
    if holds_json(path):
        return _parse_json(path, _utf8(path, source.encoding))
    return _parse_delimited(path, source)


def _parse_delimited(path: Path, source: SourceConfig) -> pl.DataFrame:
    """As a source is read, quotes and all; every value stays text, so that ids keep their spelling.

    Raises SourceError naming the first line that is no row: none may be passed over.
    """
    file, encoding = SourceFile("interactions", path, path.name), encoding_of(path, source.encoding)
    with readable(path), open_text(path, encoding) as text:
        lines = Lines(text)
        first = skip_blank_lines(lines, file, ())
        separator, told = layout_of(first.rstrip("\r\n"), path, source)
        records = QuotedRecords(lines, separator, len(told))
        columns = column_names(told or next(records), file)
        lines.end_record()
        batches = list(collect_batches(records, lines, columns, batch_rows=200_000))
    for line, reason, _ in pl.concat([batch.rejects for batch in batches]).head(1).iter_rows():
        way_out = "set source.encoding" if reason == UNDECODABLE else "mend it"
        raise SourceError(f"{path}: line {line:,}: {reason}; {way_out}")
    rows = pl.concat([batch.rows for batch in batches]).drop(LINE_COLUMN)
    return rows.with_columns(pl.col(pl.String).replace("", None))


def layout_of(first: str, path: Path, source: SourceConfig) -> tuple[str, Sequence[str]]:
    """Separator of a csv or tsv file, and `[source.header]` of it if `first` is no header.

    A caller's file has a header, or is written as the source's interactions are. Raises
    SourceError if it is neither.
    """
    told = source.header.interactions
    separator = sniffed_separator(first, path, source)
    fields = fields_of(first, separator)
    if not told or {source.columns.user_id, *ALIASES["user_id"]} & set(fields):
        return separator, ()
    separator = sniffed_separator(first, path, source, told)
    row = next(QuotedRecords(Lines(StringIO(first)), separator, len(told)), None)
    if row is not None and len(row) != len(told):
        raise SourceError(
            f"{path}: has {len(row)} columns, source.header.interactions names {len(told)}; write "
            "the names of its columns before its first line"
        )
    return separator, told


def text_of(column: pl.Series) -> pl.Series:
    """Bytes as UTF-8; null where they are none."""
    return pl.Series(column.name, bytes_as_text(column.to_arrow()), dtype=pl.String)


def _utf8(path: Path, encoding: str) -> bytes:
    """The bytes of a text file in UTF-8, which it is in or in the encoding of the source."""
    told = encoding_of(path, encoding)
    with readable(path), open_text(path, told) as text:
        return text.read().encode("utf-8", "surrogateescape")


def _parse_json(path: Path, content: bytes) -> pl.DataFrame:
    """One object a line. Raises SourceError naming the first line that is none."""
    try:
        # Of all lines: ids that begin as numbers may be words further down.
        return pl.read_ndjson(content, infer_schema_length=None)
    except pl.exceptions.NoDataError:
        raise
    except pl.exceptions.PolarsError:
        for number, line in enumerate(content.splitlines(), start=1):
            if fault := _fault_of(line):
                raise SourceError(f"{path}: line {number:,} {fault}; mend it") from None
        raise


def _fault_of(line: bytes) -> str:
    """Why a line is no JSON object; '' if it is one, or blank."""
    if not line.strip():
        return ""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is not valid JSON ({first_line(error)})"
    return "" if isinstance(found, dict) else "is not a JSON object"


def find_column(columns: Sequence[str], path: Path, role: str, configured: str) -> str:
    """The column of a role, by its configured name or a usual one. Raises SourceError if none."""
    for name in (configured, *ALIASES[role]):
        if name in columns:
            return name
    others = {name for other, names in ALIASES.items() if other != role for name in names}
    left = [name for name in columns if name not in others]
    hint = did_you_mean(configured, left)
    raise SourceError(f"{path}: no column {configured!r} (columns: {', '.join(columns)}){hint}")


def _as_ids(values: pl.Series, wanted: IdType, path: Path) -> pl.Series:
    """Ids in the lake's type; what does not fit becomes null: nobody the lake knows.

    White space around text goes, as it does in landing. Raises SourceError for a column of neither
    text nor numbers.
    """
    kind = values.dtype
    if kind.is_nested() or kind.is_temporal() or kind in (pl.Boolean, pl.Object):
        raise SourceError(f"{path}: column {values.name!r} holds {kind}; ids are text or numbers")
    if wanted is IdType.STRING:
        texts = values.cast(pl.String).str.strip_chars()
        return texts.set(_is_empty(texts), None)
    if values.dtype == pl.String:
        return whole_numbers(values.str.strip_chars())
    whole = values.cast(pl.Int64, strict=False)
    return whole.set(values != values.floor(), None) if values.dtype.is_float() else whole


def _is_empty(values: pl.Series) -> pl.Series:
    empty = values.is_null()
    return empty | (values.str.strip_chars() == "") if values.dtype == pl.String else empty
