"""One JSON object a line, as batches."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from pwrank.config import SourceConfig
from pwrank.errors import SourceError
from pwrank.sources.columns import asked_columns, column_roles
from pwrank.sources.files import (
    BROKEN_ROWS,
    LINE_COLUMN,
    RawBatch,
    SourceFile,
    open_text,
    readable,
)
from pwrank.sources.lines import MAX_BATCH_CHARACTERS, UNDECODABLE, broken_row

_LINES_TO_GIVE_UP = 100_000
"""Lines without one object before the file is taken for something else."""
HALF_A_CHARACTER = "the line holds half of an escaped character"
"""Reason of a broken line: text that was cut between the two parts of an emoji, as \\ud83d."""
_INT64 = range(-(2**63), 2**63)
_EXACT = range(-(2**53), 2**53 + 1)
"""Integers that a float holds exactly."""


def read_json_lines(
    file: SourceFile, source: SourceConfig, *, batch_rows: int
) -> Iterator[RawBatch]:
    """Stream a jsonl file. The columns of the first batch are those that must be there."""
    known: dict[str, None] = {}
    ids: list[str] = []
    with readable(file.path):
        for parsed in _parsed_lines(file, source.encoding, batch_rows):
            objects, lines, broken = parsed
            if not known and not objects:
                if broken:
                    raise SourceError(_nothing_in(file, broken))
                yield RawBatch(_no_rows(file, source), BROKEN_ROWS.to_frame())
                return
            first = not known
            known |= dict.fromkeys(name for values in objects for name in values)
            if first:
                roles = column_roles(list(known), file, source)
                ids = [roles[role] for role in ("user_id", "item_id") if role in roles]
            objects, lines, broken = _without_nested_ids(parsed, ids)
            series = [
                _series(name, [values.get(name) for values in objects])
                for name in known
                if name != LINE_COLUMN
            ]
            series.append(pl.Series(LINE_COLUMN, lines, dtype=pl.Int64))
            yield RawBatch(pl.DataFrame(series), pl.DataFrame(broken, BROKEN_ROWS, orient="row"))


_Batch = tuple[list[dict[str, Any]], list[int], list[tuple[int, str, str]]]


def _parsed_lines(file: SourceFile, encoding: str, batch_rows: int) -> Iterator[_Batch]:
    """Objects, their lines and the broken lines; one batch at least."""
    objects: list[dict[str, Any]] = []
    lines: list[int] = []
    broken: list[tuple[int, str, str]] = []
    characters, some = 0, False
    with open_text(file.path, encoding) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            characters += len(line)
            value = _parsed(line)
            if isinstance(value, dict):
                objects.append(value)
                lines.append(number)
            else:
                broken.append(broken_row(number, value, line))
            full = len(objects) + len(broken) >= batch_rows or characters >= MAX_BATCH_CHARACTERS
            if full and (objects or some or len(broken) >= _LINES_TO_GIVE_UP):
                yield objects, lines, broken
                objects, lines, broken, characters, some = [], [], [], 0, True
    if objects or broken or not some:
        yield objects, lines, broken


def _parsed(line: str) -> dict[str, Any] | str:
    """The object on the line, or why there is none."""
    try:
        value = json.loads(line)
        if not line.isascii() or "\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return HALF_A_CHARACTER if line.isascii() else UNDECODABLE
    except (ValueError, RecursionError):
        return "the line is not valid JSON"
    if not isinstance(value, dict):
        return "the line is not a JSON object"
    return value


def _without_nested_ids(batch: _Batch, ids: list[str]) -> _Batch:
    """Objects whose ids are objects or lists are broken lines: nobody could tell two of them."""
    objects, lines, broken = batch
    nested = [any(isinstance(row.get(name), dict | list) for name in ids) for row in objects]
    if not any(nested):
        return batch
    told = [
        broken_row(line, "an id is a JSON object or list", json.dumps(row, ensure_ascii=False))
        for row, line, wrong in zip(objects, lines, nested, strict=True)
        if wrong
    ]
    kept = [not wrong for wrong in nested]
    return (
        list(itertools.compress(objects, kept)),
        list(itertools.compress(lines, kept)),
        sorted([*broken, *told]),
    )


def _series(name: str, values: list[Any]) -> pl.Series:
    """A typed column; where the values are of several types, each in its own spelling."""
    types = {type(value) for value in values} - {type(None)}
    if not types:
        return pl.Series(name, values, dtype=pl.Null)
    if types == {str}:
        return pl.Series(name, values, dtype=pl.String)
    if types == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if types == {int} and all(value is None or value in _INT64 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    whole = [value for value in values if isinstance(value, int)] if types == {int, float} else []
    if float in types and types <= {int, float} and all(value in _EXACT for value in whole):
        return pl.Series(name, values, dtype=pl.Float64)
    return pl.Series(name, [_spelled(value) for value in values], dtype=pl.String)


def _spelled(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        # Several paths of categories come as a list of lists.
        parts = list(_parts(value))
        if all(isinstance(part, str) for part in parts):
            return "|".join(dict.fromkeys(parts) if parts != value else parts)
    return json.dumps(value, ensure_ascii=False)


def _parts(value: list[Any]) -> Iterator[Any]:
    """What a list holds, and what the lists in it hold."""
    for part in value:
        yield from part if isinstance(part, list) else [part]


def _no_rows(file: SourceFile, source: SourceConfig) -> pl.DataFrame:
    """What an empty file holds, which has no header to say so: all columns that are asked for."""
    columns = asked_columns(file.table, source).values()
    return pl.DataFrame(schema=dict.fromkeys(columns, pl.Null) | {LINE_COLUMN: pl.Int64})


def _nothing_in(file: SourceFile, broken: list[tuple[int, str, str]]) -> str:
    line, reason, raw = broken[0]
    told = f"{file.path}: no JSON object, one a line, in it: line {line}: {reason}"
    array = raw.removeprefix('"').lstrip().startswith("[")
    return f"{told}; make lines of an array: jq -c '.[]' FILE" if array else told
