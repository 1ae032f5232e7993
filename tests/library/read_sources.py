"""Source files of a test, written and read back as raw rows."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, settings

from pwrank.config import SourceConfig
from pwrank.sources import (
    RawBatch,
    SourceFile,
    Table,
    read_batches,
)

fuzz = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HEADER = "user_id,item_id,timestamp\n"


def tables(folder: Path, interactions: str, items: str = "items.csv", **keys: Any) -> SourceConfig:
    return SourceConfig(interactions=folder / interactions, items=folder / items, **keys)


def file_of(path: Path, table: Table = "interactions") -> SourceFile:
    return SourceFile(table, path, path.name)


def read(
    path: Path, table: Table = "interactions", batch_rows: int = 200_000, **keys: Any
) -> RawBatch:
    source = SourceConfig(**keys)
    batches = list(read_batches(file_of(path, table), source, batch_rows=batch_rows))
    assert batches
    return RawBatch(
        pl.concat([batch.rows for batch in batches], how="diagonal_relaxed"),
        pl.concat([batch.rejects for batch in batches]),
    )


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def lines_of(batch: RawBatch) -> list[int]:
    return batch.rows["source_line"].to_list()
