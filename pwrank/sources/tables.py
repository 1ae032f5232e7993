"""Source kind `tables`: csv, tsv, jsonl (each also .gz) and parquet files, in any mixture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa

from pwrank.config import SourceConfig
from pwrank.datasets import IdType, IdTypes
from pwrank.errors import ConfigError
from pwrank.sources.columns import ID_COLUMNS, column_roles
from pwrank.sources.delimited import read_delimited
from pwrank.sources.files import (
    RawBatch,
    SourceFile,
    Table,
    holds_json,
    holds_parquet,
    list_table_files,
    readable,
)
from pwrank.sources.json_lines import read_json_lines
from pwrank.sources.parquet import parquet_types, read_parquet

Format = Literal["delimited", "json", "parquet"]
_PEEKED_ROWS = 1_000


def list_files(source: SourceConfig) -> list[SourceFile]:
    """Files of each table, interactions first, each by name. Raises SourceError if none."""
    configured: dict[Table, Path | None] = {
        "interactions": source.interactions,
        "items": source.items,
        "users": source.users,
    }
    missing = [table for table, path in configured.items() if path is None and table != "users"]
    if missing:
        raise ConfigError(f"[source] kind = 'tables' needs `{missing[0]}`")
    files = [
        file
        for table, path in configured.items()
        if path is not None
        for file in list_table_files(table, path)
    ]
    _refuse_idle_headers(files, source)
    return files


def _refuse_idle_headers(files: Sequence[SourceFile], source: SourceConfig) -> None:
    """Names for the columns of a csv file, where there is none: they would change nothing."""
    for table in (table for table, names in source.header if names):
        kinds = {_format_of(file) for file in files if file.table == table}
        if "delimited" not in kinds:
            why = f"{' and '.join(sorted(kinds))} files name their columns" if kinds else "no file"
            raise ConfigError(f"source.header.{table}: {why}; leave it out")


def read_batches(file: SourceFile, source: SourceConfig, *, batch_rows: int) -> Iterator[RawBatch]:
    """Stream one file by its format; at least one batch comes, maybe empty."""
    reader = {"parquet": read_parquet, "json": read_json_lines, "delimited": read_delimited}
    return reader[_format_of(file)](file, source, batch_rows=batch_rows)


def id_types(files: Sequence[SourceFile], source: SourceConfig) -> IdTypes:
    """int64 where every file has integers (parquet, jsonl), string otherwise.

    Text formats give strings, so that leading zeros and "17850.0" stay as they are. Whole floats,
    which is what pandas makes of integers with gaps, count as integers.
    """
    integers = {"user_id": True, "item_id": True}
    for file in files:
        if not any(integers.values()):
            break
        for name, is_integer in _integer_ids(file, source).items():
            integers[name] &= is_integer
    types = {True: IdType.INT64, False: IdType.STRING}
    return IdTypes(user=types[integers["user_id"]], item=types[integers["item_id"]])


def _format_of(file: SourceFile) -> Format:
    """By suffix; a suffix that tells nothing, by the first bytes."""
    if holds_parquet(file.path):
        return "parquet"
    if holds_json(file.path):
        return "json"
    with readable(file.path), file.path.open("rb") as binary:
        return "parquet" if binary.read(4) == b"PAR1" else "delimited"


def _integer_ids(file: SourceFile, source: SourceConfig) -> dict[str, bool]:
    """Whether each id column of the file holds integers."""
    kind = _format_of(file)
    names = ID_COLUMNS[file.table]
    if kind == "delimited":
        return dict.fromkeys(names, False)
    if kind == "parquet":
        types = parquet_types(file.path)
        roles = column_roles(list(types), file, source)
        return {name: _is_arrow_number(types[roles[name]]) for name in names}
    first = next(islice(read_json_lines(file, source, batch_rows=_PEEKED_ROWS), 1)).rows
    roles = column_roles(first.columns, file, source)
    return {name: _is_whole(first[roles[name]]) for name in names}


def _is_arrow_number(kind: pa.DataType) -> bool:
    """Whether ids of that type are integers, or none was there to be anything else."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_null(value)
        or pa.types.is_integer(value)
        or pa.types.is_floating(value)
        or pa.types.is_decimal(value)
    )


def _is_whole(values: pl.Series) -> bool:
    return (
        values.dtype.is_integer()
        or values.dtype == pl.Null
        or (values.dtype.is_float() and bool((values == values.floor()).all()))
    )
