"""Which files a source consists of, and how their bytes become lines of text."""

from __future__ import annotations

import contextlib
import difflib
import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

import polars as pl

from pwrank.errors import ConfigError, SourceError

Table = Literal["interactions", "items", "users"]

TEXT_SUFFIXES = (".csv", ".tsv")
JSON_SUFFIXES = (".jsonl", ".ndjson")
PARQUET_SUFFIXES = (".parquet", ".pq")
_PLAIN = TEXT_SUFFIXES + JSON_SUFFIXES
KNOWN_SUFFIXES = _PLAIN + tuple(f"{suffix}.gz" for suffix in _PLAIN) + PARQUET_SUFFIXES
"""What is taken from a folder; a file that is named outright may have any suffix."""


def holds_json(path: Path) -> bool:
    """Whether a file that is named outright has one JSON object a line, by its suffix."""
    return path.name.lower().removesuffix(".gz").endswith((*JSON_SUFFIXES, ".json"))


def holds_parquet(path: Path) -> bool:
    """Whether a file that is named outright is read as Parquet; a packed one is then refused."""
    return path.name.lower().removesuffix(".gz").endswith(PARQUET_SUFFIXES)


LINE_COLUMN = "source_line"


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    table: Table
    path: Path
    name: str
    """Relative to the configured folder; the files of a table are read in the order of names."""


@dataclass(frozen=True)
class RawBatch:
    """Rows as the source spells them, and the rows that are not even rows."""

    rows: pl.DataFrame
    """The source's columns and `source_line` (int64; header = 1; parquet: the row, from 1)."""
    rejects: pl.DataFrame
    """BROKEN_ROWS: torn, undecodable or unbalanced lines."""


BROKEN_ROWS = pl.Schema({LINE_COLUMN: pl.Int64(), "reason": pl.String(), "raw": pl.String()})
"""`raw` is JSON: the line as a string."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest known name, or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def list_table_files(table: Table, path: Path) -> list[SourceFile]:
    """Files behind a configured path (file, folder or glob), by name. Raises SourceError if none.

    Hidden and temporary files (`.*`, `_*`) are skipped in folders and globs.
    """
    with readable(path):
        is_file, is_folder = path.is_file(), path.is_dir()
    if is_file:
        return [SourceFile(table, path, printable_name(Path(path.name)))]
    if is_folder:
        base, found = path, _files_below(path)
        wanted = "no .csv, .tsv, .parquet or .jsonl file in it"
    elif glob.has_magic(str(path)):
        base = _folder_of_glob(path)
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - absolute patterns
        wanted = "no file matches"
    else:
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, siblings) or f"; set `{table}` under [source]"
        raise SourceError(f"{table}: {path}: no such file or folder{hint}")
    kept = [file for file in found if file.is_file() and not _is_hidden(file.relative_to(base))]
    if not kept:
        raise SourceError(f"{table}: {path}: {wanted}; set `{table}` under [source]")
    files = [SourceFile(table, file, printable_name(file.relative_to(base))) for file in kept]
    return sorted(files, key=lambda file: file.name)


def printable_name(path: Path) -> str:
    """The path with slashes; bytes of a name that are not UTF-8 are spelled out."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.name.lower().endswith(KNOWN_SUFFIXES)]


def _folder_of_glob(path: Path) -> Path:
    """The deepest folder that the pattern leaves no choice about."""
    base = path
    while glob.has_magic(str(base)):
        base = base.parent
    return base


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith((".", "_")) for part in relative.parts)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what is wrong with the file itself into SourceError; other I/O errors may heal."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"{path}: no such file") from None
    except (PermissionError, IsADirectoryError) as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path}: damaged or cut off gzip ({error}); copy it again") from None
    except UnicodeError as error:
        reason = f"{path}: cannot be decoded ({error}); set source.encoding"
        raise SourceError(printable(reason)) from None


def open_text(path: Path, encoding: str) -> IO[str]:
    """Open for reading lines as they are; undecodable bytes become lone surrogates."""
    packed = path.name.lower().endswith(".gz")
    if packed and not path.stat().st_size:
        raise EOFError("no bytes")  # which gzip takes for a file of no lines
    binary = cast(IO[bytes], gzip.GzipFile(path) if packed else path.open("rb"))
    try:
        text = io.TextIOWrapper(
            binary, encoding=_without_mark(encoding), errors="surrogateescape", newline=""
        )
    except LookupError:
        binary.close()
        raise ConfigError(f"source.encoding = {encoding!r}: no such encoding") from None
    return text


def encoding_of(path: Path, otherwise: str) -> str:
    """How to read a text file of the caller's: as UTF-8 where it is, else by the other encoding."""
    with open_text(path, "utf-8") as text:
        is_utf8 = all(line.isascii() or line == printable(line) for line in text)
    return "utf-8" if is_utf8 else otherwise


def _without_mark(encoding: str) -> str:
    """The encoding that also takes a byte order mark."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def printable(text: str) -> str:
    """The text with lone surrogates (bytes that were not decodable) spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
