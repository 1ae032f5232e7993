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

from pwrank.errors import SourceError, first_line
from pwrank.forgetting.person import Person
from pwrank.sources.delimited import QuotedRecords
from pwrank.sources.files import open_text, readable
from pwrank.sources.lines import Lines
from pwrank.store import replacing
from pwrank.user_files import find_column

MARK = b"\xef\xbb\xbf"


def clear_file(path: Path, person: Person, column: str) -> int:
    """Take the person's rows out of a csv, tsv, jsonl (each also .gz) or parquet file.

    column: configured name of the user column. Returns the rows that went. A broken line that
    names the person goes too. Raises SourceError for a file without such a column.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file; name the pairs that hold the person")
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return _clear_parquet(path, person, column)
    kept, gone = io.StringIO(newline=""), 0
    records = _json_lines if name.endswith((".jsonl", ".ndjson")) else _delimited
    with readable(path):
        for text, is_theirs in records(path, person, column):
            gone += is_theirs
            kept.write("" if is_theirs else text)
        if gone:
            _write(path, kept.getvalue())
    return gone


def _clear_parquet(path: Path, person: Person, column: str) -> int:
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path}: not a Parquet file or damaged ({first_line(error)})") from None
    name = find_column(frame.columns, path, "user_id", column)
    ids = frame[name].cast(pl.String).fill_null("").to_list()
    theirs = pl.Series([person.is_id(cell) for cell in ids], dtype=pl.Boolean)
    left = frame.filter(~theirs)
    if left.height < frame.height:
        with replacing(path) as temporary:
            left.write_parquet(temporary, compression="zstd")
    return frame.height - left.height


def _delimited(path: Path, person: Person, column: str) -> Iterator[tuple[str, bool]]:
    """Text of each record of a csv or tsv file, and whether it is the person's."""
    separator = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    with open_text(path, "utf-8") as text:
        lines = Lines(text)
        records = QuotedRecords(lines, separator)
        header = [name.strip() for name in next(records, None) or []]
        place = header.index(find_column(header, path, "user_id", column))
        yield "".join(lines.record), False
        lines.end_record()
        for fields in records:
            record = "".join(lines.record)
            if fields is None or (fields and len(fields) <= place):
                yield record, person.is_in(record)
            else:
                yield record, bool(fields) and person.is_id(fields[place])
            lines.end_record()


def _json_lines(path: Path, person: Person, column: str) -> Iterator[tuple[str, bool]]:
    """Each line of a jsonl file, and whether it is the person's."""
    name = ""
    with open_text(path, "utf-8") as text:
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


def _write(path: Path, text: str) -> None:
    """Replace a text file, packed and marked as it was."""
    packed = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        head = (gzip.GzipFile(fileobj=file) if packed else file).read(len(MARK))
    content = (MARK if head == MARK else b"") + text.encode("utf-8", "surrogateescape")
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if packed else content)
