"""Files of the caller's own (pairs, scored pairs): one person's rows taken out, the rest untouched.

Text files keep every other byte as it is; Parquet is written again.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from pwrank.config import SourceConfig
from pwrank.errors import SourceError, first_line
from pwrank.forgetting.person import Person
from pwrank.sources.delimited import QuotedRecords
from pwrank.sources.files import encoding_of, holds_json, holds_parquet, open_text, readable
from pwrank.sources.lines import Lines
from pwrank.store import replacing
from pwrank.user_files import find_column, layout_of, text_of

MARK = b"\xef\xbb\xbf"


def check_file(path: Path, person: Person, source: SourceConfig) -> None:
    """Raise SourceError as `clear_file` would, and change nothing."""
    _rows_of(path, person, source)


def clear_file(path: Path, person: Person, source: SourceConfig) -> int:
    """Take the person's rows out of a csv, tsv, jsonl (each also .gz) or parquet file.

    source: names of columns, and the encoding of a file that is not in UTF-8. Returns the rows that
    went. A broken line that names the person goes too. Raises SourceError for a file without a
    user column.
    """
    left, gone = _rows_of(path, person, source)
    if gone and isinstance(left, pl.DataFrame):
        with replacing(path) as temporary:
            left.write_parquet(temporary, compression="zstd")
    elif gone and isinstance(left, str):
        with readable(path):
            _write(path, left, encoding_of(path, source.encoding))
    return gone


def _rows_of(path: Path, person: Person, source: SourceConfig) -> tuple[pl.DataFrame | str, int]:
    """What is left of the file, and how many rows of it are the person's."""
    if not path.is_file():
        raise SourceError(f"{path}: no such file; name the pairs that hold the person")
    if holds_parquet(path):
        return _left_of_parquet(path, person, source.columns.user_id)
    kept, gone = io.StringIO(newline=""), 0
    records = _json_lines if holds_json(path) else _delimited
    with readable(path):
        for text, is_theirs in records(path, person, source):
            gone += is_theirs
            kept.write("" if is_theirs else text)
    return kept.getvalue(), gone


def _left_of_parquet(path: Path, person: Person, column: str) -> tuple[pl.DataFrame, int]:
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path}: not a Parquet file or damaged ({first_line(error)})") from None
    name = find_column(frame.columns, path, "user_id", column)
    ids = text_of(frame[name]) if frame[name].dtype == pl.Binary else frame[name].cast(pl.String)
    theirs = pl.Series([person.is_id(cell) for cell in ids.fill_null("")], dtype=pl.Boolean)
    left = frame.filter(~theirs)
    return left, frame.height - left.height


def _delimited(path: Path, person: Person, source: SourceConfig) -> Iterator[tuple[str, bool]]:
    """Text of each record of a csv or tsv file, and whether it is the person's."""
    encoding = encoding_of(path, source.encoding)
    with open_text(path, encoding) as text:
        first = next((line for line in text if line.strip()), "")
    separator, told = layout_of(first.rstrip("\r\n"), path, source)
    with open_text(path, encoding) as text:
        lines = Lines(text)
        records = QuotedRecords(lines, separator, len(told))
        header = list(told) or [name.strip() for name in next(records, None) or []]
        place = header.index(find_column(header, path, "user_id", source.columns.user_id))
        if not told:
            yield "".join(lines.record), False
            lines.end_record()
        for fields in records:
            record = "".join(lines.record)
            if fields is None or (fields and len(fields) <= place):
                yield record, person.is_in(record)
            else:
                yield record, bool(fields) and person.is_id(fields[place])
            lines.end_record()


def _json_lines(path: Path, person: Person, source: SourceConfig) -> Iterator[tuple[str, bool]]:
    """Each line of a jsonl file, and whether it is the person's."""
    name, column = "", source.columns.user_id
    with open_text(path, encoding_of(path, source.encoding)) as text:
        for line in text:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                yield line, person.is_in(line)
                continue
            name = name if name in row else find_column(list(row), path, "user_id", column)
            yield line, person.is_id(str(row[name]))


def _write(path: Path, text: str, encoding: str) -> None:
    """Replace a text file, packed and marked as it was."""
    packed = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        head = (gzip.GzipFile(fileobj=file) if packed else file).read(len(MARK))
    content = (MARK if head == MARK else b"") + text.encode(encoding, "surrogateescape")
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if packed else content)
