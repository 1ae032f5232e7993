"""Parquet files as batches of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pwrank.config import SourceConfig
from pwrank.errors import SourceError, first_line
from pwrank.sources.columns import column_roles
from pwrank.sources.files import BROKEN_ROWS, LINE_COLUMN, RawBatch, SourceFile, readable

_DAMAGE = (
    pa.ArrowException,
    UnicodeDecodeError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


def read_parquet(file: SourceFile, source: SourceConfig, *, batch_rows: int) -> Iterator[RawBatch]:
    """Stream a Parquet file, nested columns other than lists of strings left out."""
    with _parquet_errors(file.path), pq.ParquetFile(file.path) as parquet:
        schema = parquet.schema_arrow
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            raise SourceError(f"{file.path}: column {twice!r} is there twice")
        columns = [field.name for field in schema if _is_usable(field)]
        column_roles(columns, file, source)
        first, some = 1, False
        for batch in parquet.iter_batches(batch_rows, columns=columns, use_threads=False):
            frame = _frame(batch, first)
            first, some = first + frame.height, True
            yield RawBatch(frame, BROKEN_ROWS.to_frame())
        if not some:
            empty = pa.RecordBatch.from_pylist(
                [], schema=pa.schema([schema.field(c) for c in columns])
            )
            yield RawBatch(_frame(empty, first), BROKEN_ROWS.to_frame())


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
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    return not (
        pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _frame(batch: pa.RecordBatch, first: int) -> pl.DataFrame:
    """The batch with row numbers; what is damaged is found here rather than inside polars."""
    batch.validate(full=True)
    fields = [pa.field(field.name, field.type) for field in batch.schema]  # without metadata
    table = pa.Table.from_arrays(batch.columns, schema=pa.schema(fields))
    frame = cast(pl.DataFrame, pl.from_arrow(table))
    if LINE_COLUMN in frame.columns:
        frame = frame.rename({LINE_COLUMN: f"{LINE_COLUMN}_"})
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    numbers = pl.int_range(first, first + frame.height, dtype=pl.Int64, eager=True)
    return frame.with_columns(
        *[pl.col(name).list.join("|", ignore_nulls=True) for name in lists],
        numbers.alias(LINE_COLUMN),
    )
