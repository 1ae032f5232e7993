"""Lines of a text -> records -> batches, with exact physical line numbers."""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Protocol

import polars as pl

from pwrank.sources.files import BROKEN_ROWS, LINE_COLUMN, RawBatch, printable

MAX_BATCH_CHARACTERS = 128 * 2**20
RAW_CHARACTERS = 2_000
UNUSABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, and what stands for bytes that could not be decoded."""
UNDECODABLE = "the line cannot be decoded"
"""Reason of a broken line; `source.encoding` may be another."""
WRONG_WIDTH = "the line has the wrong number of fields"
"""Reason of a broken line; many of them tell of another separator or header."""
_BLOCK_CHARACTERS = 2**17
"""Small enough for the processor's cache: eight times as large is a quarter slower."""


class Lines(Iterator[str]):
    """Physical lines that remember the record they belong to, so that it can be given back."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._returned: deque[str] = deque()
        self.record: list[str] = []
        self.first_line = 1
        """Physical line on which the current record begins."""

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._text)
        self.record.append(line)
        return line

    def take(self, characters: int) -> list[str]:
        """The next lines, about so many characters together, as one record."""
        if self._returned:
            self.record, self._returned = list(self._returned), deque()
        else:
            self.record = self._text.readlines(characters)
        return self.record

    def end_record(self) -> None:
        """The record is read: the next line begins another."""
        self.first_line += len(self.record)
        self.record = []

    def give_back(self, keep: int) -> None:
        """Let only the first lines be the record; the rest will be read again."""
        self._returned.extendleft(reversed(self.record[keep:]))
        del self.record[keep:]


class BatchBuilder:
    """Collects rows and broken lines until a batch is full."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._cells: list[list[str]] = [[] for _ in columns]
        self._row_lines: list[int] = []
        self._broken: list[tuple[int, str, str]] = []
        self._characters = 0

    @property
    def height(self) -> int:
        """Rows and broken lines."""
        return len(self._row_lines) + len(self._broken)

    def is_full(self, batch_rows: int) -> bool:
        """Whether the batch has its rows, or its share of memory."""
        return self.height >= batch_rows or self._characters >= MAX_BATCH_CHARACTERS

    def add(self, fields: list[str] | None, lines: Lines) -> None:
        """Take one record, or set it aside if it cannot be a row; None has unbalanced quotes."""
        text = "".join(lines.record)
        unusable = UNUSABLE.search(text)
        reason = None
        if fields is None:
            reason = "the quotes of the line are unbalanced"
        elif unusable:
            nul = unusable.group() == "\0"
            reason = "the line holds a NUL byte" if nul else UNDECODABLE
        elif fields and len(fields) != len(self._columns):
            reason = WRONG_WIDTH
        if reason:
            self._broken.append(broken_row(lines.first_line, reason, text))
            self._characters += min(len(text), RAW_CHARACTERS)
        elif fields:  # a blank line is no row
            self._extend(fields, lines, text)

    def add_all(self, rows: Iterable[list[str]], lines: Lines) -> bool:
        """Take rows of one line each, if all are sound. Returns whether they are.

        The cells go into one flat list: a list of lists would keep the garbage collector busy for
        as long as the reading takes.
        """
        width = len(self._columns)
        cells: list[str] = []
        try:
            for fields in rows:
                if len(fields) != width:
                    return False
                cells.extend(fields)
        except csv.Error:
            return False
        text = "".join(lines.record)
        unusual = not text.isascii() or "\0" in text
        if len(cells) != width * len(lines.record) or (unusual and UNUSABLE.search(text)):
            return False
        self._extend(cells, lines, text)
        return True

    def build(self) -> RawBatch:
        """The batch."""
        series = [
            pl.Series(name, values, dtype=pl.String)
            for name, values in zip(self._columns, self._cells, strict=True)
        ]
        series.append(pl.Series(LINE_COLUMN, self._row_lines, dtype=pl.Int64))
        return RawBatch(pl.DataFrame(series), pl.DataFrame(self._broken, BROKEN_ROWS, orient="row"))

    def _extend(self, cells: list[str], lines: Lines, text: str) -> None:
        width = len(self._columns)
        for place, column in enumerate(self._cells):
            column.extend(cells[place::width])
        rows = len(cells) // width
        self._row_lines.extend(range(lines.first_line, lines.first_line + rows))
        self._characters += len(text)


def collect_batches(
    records: Records, lines: Lines, columns: list[str], *, batch_rows: int
) -> Iterator[RawBatch]:
    """Batches of the records of a text.

    Blocks of lines are read at once, at the speed of C, as long as each line is a row; a block
    with anything else in it is read again record by record.
    """
    builder, some = BatchBuilder(columns), False
    while lines.take(_BLOCK_CHARACTERS):
        after = lines.first_line + len(lines.record)
        if builder.add_all(records.read_block(lines.record), lines):
            lines.end_record()
        else:
            lines.give_back(keep=0)
        while lines.first_line < after:
            builder.add(next(records, []), lines)
            lines.end_record()
            if builder.is_full(batch_rows):
                yield builder.build()
                builder, some = BatchBuilder(columns), True
        if builder.is_full(batch_rows):
            yield builder.build()
            builder, some = BatchBuilder(columns), True
    if builder.height or not some:
        yield builder.build()


class Records(Iterator[list[str] | None], Protocol):
    """Fields of one record after the other; None for one whose quotes are unbalanced.

    The consumer calls `lines.end_record()` after each.
    """

    def read_block(self, block: list[str]) -> Iterable[list[str]]:
        """Fields of each record of a block; raises csv.Error where quotes are unbalanced."""


class LiteralRecords:
    """Records of a text in which quotes mean nothing."""

    def __init__(
        self,
        lines: Lines,
        separator: str,
        arrange: Callable[[list[str]], list[str]] = lambda fields: fields,
    ) -> None:
        self._lines = lines
        self._separator = separator
        self._arrange = arrange

    def __iter__(self) -> LiteralRecords:
        return self

    def __next__(self) -> list[str] | None:
        return self._fields(next(self._lines))

    def read_block(self, block: list[str]) -> Iterable[list[str]]:
        """Fields of each line."""
        return map(self._fields, block)

    def _fields(self, line: str) -> list[str]:
        stripped = line.rstrip("\r\n")
        return self._arrange(stripped.split(self._separator)) if stripped else []


def broken_row(line: int, reason: str, text: str) -> tuple[int, str, str]:
    """One row of BROKEN_ROWS."""
    shown = printable(text[:RAW_CHARACTERS].rstrip("\r\n"))
    return line, reason, json.dumps(shown, ensure_ascii=False)[:RAW_CHARACTERS]
