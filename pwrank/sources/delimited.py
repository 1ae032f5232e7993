"""Delimited text: csv and tsv, with a header or with the names that `[source.header]` gives.

Python's csv module rather than polars: it takes any input, streams, and tells where it is.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pwrank.config import SourceConfig
from pwrank.errors import ConfigError, SourceError
from pwrank.sources.columns import column_roles, header_of
from pwrank.sources.files import LINE_COLUMN, RawBatch, SourceFile, open_text, readable
from pwrank.sources.lines import UNUSABLE, Lines, LiteralRecords, Records, collect_batches

MAX_FIELD_CHARACTERS = 16 * 2**20
"""A longer field is taken for a quote that nobody closed."""
SEPARATORS = (",", "\t", ";", "|")


class QuotedRecords:
    """Records by RFC 4180; where the quotes do not close, the first line is set aside as None.

    Tab separated text often has quotes that mean nothing: there a line with the right number of
    fields is read literally instead. So is one with backslashes before quotes, in any text.
    """

    def __init__(self, lines: Lines, separator: str, width: int = 0) -> None:
        """width: fields of a record; 0 = as many as the first has."""
        csv.field_size_limit(MAX_FIELD_CHARACTERS)
        self._lines = lines
        self._separator = separator
        self._width = width
        self._reader = csv.reader(lines, delimiter=separator, strict=True)

    def __iter__(self) -> QuotedRecords:
        return self

    def __next__(self) -> list[str] | None:
        lines = self._lines
        try:
            fields = next(self._reader)
        except csv.Error:
            self._reader = csv.reader(lines, delimiter=self._separator, strict=True)
            lines.give_back(keep=1)
            return self._literal(lines.record[0]) or self._escaped(lines.record[0])
        self._width = self._width or len(fields)
        if len(lines.record) > 1 and all(map(self._literal, lines.record)):
            lines.give_back(keep=1)
            return self._literal(lines.record[0])
        return fields

    def read_block(self, block: list[str]) -> Iterable[list[str]]:
        """Fields of each record; they are as many as the lines if no record has several."""
        return csv.reader(block, delimiter=self._separator, strict=True)

    def _literal(self, line: str) -> list[str] | None:
        """Fields of a tab separated line whose quotes mean nothing, if they are as many as due."""
        fields = line.rstrip("\r\n").split("\t")
        return fields if self._separator == "\t" and len(fields) == self._width else None

    def _escaped(self, line: str) -> list[str] | None:
        """Fields of a line whose quotes close if a backslash escapes them, as MySQL writes text."""
        if '\\"' not in line:
            return None
        read = csv.reader([line], delimiter=self._separator, escapechar="\\", strict=True)
        try:
            fields = next(read)
        except csv.Error:
            return None
        return fields if len(fields) == self._width else None


def skip_blank_lines(lines: Lines, file: SourceFile, told: Sequence[str]) -> str:
    """The first line that holds something; it will be read again.

    A file without a header may be empty: a quiet day's.
    """
    for line in lines:
        if line.strip():
            lines.give_back(keep=0)
            return line
        lines.end_record()
    if told:
        return ""
    raise SourceError(f"{file.path}: empty file: not even a header")


def sniffed_separator(line: str, path: Path, source: SourceConfig, told: Sequence[str] = ()) -> str:
    """The separator that finds most of the expected columns in the header, then most fields.

    told: the columns of a file without a header; then the one that finds as many fields.
    """
    expected = {value for value in source.columns.model_dump().values() if value}
    is_tsv = path.name.lower().removesuffix(".gz").endswith(".tsv")
    candidates = ("\t", ",", ";", "|") if is_tsv else SEPARATORS

    def merit(separator: str) -> tuple[int, int]:
        fields = fields_of(line, separator)
        if told:
            return int(len(fields) == len(told)), len(fields)
        return len(expected & set(fields)), len(fields)

    return max(candidates, key=merit)


def fields_of(line: str, separator: str) -> list[str]:
    """What stands between the separators, near enough to tell a header."""
    return [field.strip().strip('"') for field in line.split(separator)]


def _refuse_header(line: str, separator: str, told: Sequence[str], file: SourceFile) -> None:
    """Names taken for data would be a user, an item and a rejected time."""
    fields = [name.lower() for name in fields_of(line, separator)]
    named = [name.lower() or field for name, field in zip(told, fields, strict=False)]
    if len(fields) == len(told) and named == fields:
        raise SourceError(
            f"{file.path}: its first line is the header that [source.header] gives; leave "
            f"source.header.{file.table} out"
        )


def _check_roles(columns: list[str], file: SourceFile, source: SourceConfig, width: int) -> None:
    """Raise SourceError where a column is missing; where a name is, say that.

    width: fields of the first line of a file without a header, else 0.
    """
    try:
        column_roles(columns, file, source)
    except SourceError as error:
        if width in (0, len(columns)):
            raise
        raise type(error)(
            f"{error} ([source.header] gives {len(columns)} names, the first line has {width} "
            "fields)"
        ) from None


def column_names(header: Sequence[str] | None, file: SourceFile) -> list[str]:
    """The header's names without outer spaces; nameless columns get their number."""
    if header is None or UNUSABLE.search("".join(header)):
        raise SourceError(
            f"{file.path}: the header cannot be read; check that this is a text file, its quotes "
            f"and source.encoding; if it has none, name its columns in source.header.{file.table}"
        )
    names = [name.strip() or f"column_{place}" for place, name in enumerate(header, start=1)]
    names = [f"{name}_" if name == LINE_COLUMN else name for name in names]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SourceError(f"{file.path}: column {twice!r} stands twice in the header")
    return names


def read_delimited(
    file: SourceFile, source: SourceConfig, *, batch_rows: int
) -> Iterator[RawBatch]:
    """Stream a csv or tsv file. At least one batch comes, empty if only the header is there."""
    told = header_of(file.table, source)
    with readable(file.path), open_text(file.path, source.encoding) as text:
        lines = Lines(text)
        first_line = skip_blank_lines(lines, file, told)
        separator = source.separator or sniffed_separator(first_line, file.path, source, told)
        if separator in ('"', "\r", "\n"):
            raise ConfigError(f"source.separator = {separator!r}: cannot separate fields")
        quoted = len(separator) == 1
        records: Records = (
            QuotedRecords(lines, separator, len(told))
            if quoted
            else LiteralRecords(lines, separator)
        )
        if told:
            _refuse_header(first_line, separator, told, file)
        columns = column_names(told or next(records), file)
        _check_roles(columns, file, source, len(fields_of(first_line, separator)) if told else 0)
        lines.end_record()
        yield from collect_batches(records, lines, columns, batch_rows=batch_rows)
