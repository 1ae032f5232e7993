"""Parquet files as batches of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pwrank.config import SourceConfig
from pwrank.errors import SourceError, first_line
from pwrank.sources.columns import column_roles, refuse_nested
from pwrank.sources.files import BROKEN_ROWS, LINE_COLUMN, RawBatch, SourceFile, readable
from pwrank.sources.lines import broken_row

LISTS_IN_LISTS = 2
"""Several paths of categories come as a list of lists."""

_DAMAGE = (
    pa.ArrowException,
    UnicodeDecodeError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


def read_parquet(file: SourceFile, source: SourceConfig, *, batch_rows: int) -> Iterator[RawBatch]:
    """Stream a Parquet file.

    Bytes are read as UTF-8, which is what writers that do not annotate text mean by them. Nested
    columns other than lists of strings and lists of those are left out; one that is to be read is
    refused.
    """
    with _parquet_errors(file.path), pq.ParquetFile(file.path) as parquet:
        schema = parquet.schema_arrow
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            raise SourceError(f"{file.path}: column {twice!r} is there twice")
        columns = [field.name for field in schema if _is_usable(field)]
        refuse_nested({f.name: str(f.type) for f in schema if f.name not in columns}, file, source)
        needed = set(column_roles(columns, file, source).values())
        first, some = 1, False
        for batch in parquet.iter_batches(batch_rows, columns=columns, use_threads=False):
            yield _read_batch(batch, first, needed)
            first, some = first + batch.num_rows, True
        if not some:
            empty = pa.RecordBatch.from_pylist(
                [], schema=pa.schema([schema.field(c) for c in columns])
            )
            yield _read_batch(empty, first, needed)


def parquet_types(path: Path) -> dict[str, pa.DataType]:
    """Column name -> Arrow type, from the footer; null in a file of no rows."""
    with _parquet_errors(path), pq.ParquetFile(path) as parquet:
        some = parquet.metadata.num_rows > 0
        return {field.name: field.type if some else pa.null() for field in parquet.schema_arrow}


@contextlib.contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """Tell damage from a failing disk: pyarrow reports it as OSError without an errno."""
    with readable(path):
        try:
            yield
        except _DAMAGE as error:
            raise SourceError(_damaged(path, error)) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise SourceError(_damaged(path, error)) from None


def _damaged(path: Path, error: BaseException) -> str:
    return (
        f"{path}: not a Parquet file, damaged or cut off ({first_line(error)[:200]}); copy it again"
    )


def _is_usable(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    deep = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind, deep = kind.value_type, deep + 1
    if deep:
        words = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        return bool(words and deep <= LISTS_IN_LISTS)
    return not pa.types.is_nested(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _read_batch(batch: pa.RecordBatch, first: int, needed: set[str]) -> RawBatch:
    """Rows from number `first` on; where bytes of a needed column are no text, a broken row."""
    batch.validate(full=True)  # what is damaged is found here rather than inside polars
    columns, broken = [], dict[int, tuple[int, str, str]]()
    for field, column in zip(batch.schema, batch.columns, strict=True):
        values = bytes_as_text(column) if _is_bytes(field.type) else column
        columns.append(values)
        if field.name in needed and values.null_count > column.null_count:
            for row in np.flatnonzero(pc.and_(values.is_null(), column.is_valid())).tolist():
                told = f"the bytes of {field.name!r} cannot be decoded"
                broken[row] = broken_row(first + row, told, str(column[row].as_py()))
    frame = _frame(batch.schema.names, columns, first)
    rejects = pl.DataFrame(
        [broken[row] for row in sorted(broken)], schema=BROKEN_ROWS, orient="row"
    )
    kept = np.ones(frame.height, np.bool_)
    kept[list(broken)] = False
    return RawBatch(frame.filter(kept), rejects)


def bytes_as_text(column: pa.Array) -> pa.Array:
    """Bytes as UTF-8; null where they are none."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column.cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        return pa.array([_text(value) for value in column.to_pylist()], pa.large_string())


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _frame(names: Sequence[str], columns: Sequence[pa.Array], first: int) -> pl.DataFrame:
    """The columns, lists joined, with row numbers."""
    fields = [pa.field(name, values.type) for name, values in zip(names, columns, strict=True)]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    frame = cast(pl.DataFrame, pl.from_arrow(table))
    if LINE_COLUMN in frame.columns:
        frame = frame.rename({LINE_COLUMN: f"{LINE_COLUMN}_"})
    joined = [_joined(name, dtype) for name, dtype in frame.schema.items() if dtype == pl.List]
    numbers = pl.int_range(first, first + frame.height, dtype=pl.Int64, eager=True)
    return frame.with_columns(*joined, numbers.alias(LINE_COLUMN))


def _joined(name: str, dtype: pl.DataType) -> pl.Expr:
    """Words of a list with bars between; several paths in a list have each word once."""
    words = pl.col(name)
    if dtype == pl.List(pl.List(pl.String)):
        words = words.list.eval(pl.element().explode()).list.unique(maintain_order=True)
    return words.list.join("|", ignore_nulls=True)
