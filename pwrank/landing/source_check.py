"""A look at the data before anything runs: how the first rows of each table are understood."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.datasets import as_told
from pwrank.landing.land import refuse_bad_file, refuse_empty_table
from pwrank.landing.parsing import PARSERS
from pwrank.sources import (
    LINE_COLUMN,
    RawBatch,
    SourceFile,
    column_roles,
    id_types,
    list_files,
    read_batches,
)

SAMPLE_ROWS = 10_000

SAME_WITHOUT_TIME = ("user_id", "item_id", "event", "rating", "weight")

ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Sampled rows are never written, so when they were ingested does not matter."""


@dataclass(frozen=True)
class TableCheck:
    """What a sample of one table looks like."""

    table: str
    files: int
    sample_file: str
    rows: int
    usable: int
    rejected: Mapping[str, int]
    example: Mapping[str, Any]
    """The first usable row as JSON values; empty without one."""
    unused: tuple[str, ...]
    """Columns that no role, reject rule or text template names."""
    has_times: bool
    """False where the interactions have no timestamps."""
    repeats: int
    """Rows that equal an earlier one and are kept, since they have no times."""


def check_source(config: Config) -> list[TableCheck]:
    """Parse the first rows of the newest file with rows of each table. Raises as ingest would."""
    files = list_files(config.source)
    ids = id_types(files, config.source)
    checks = []
    for table, (_, parse) in PARSERS.items():
        of_table = [file for file in files if file.table == table]
        if not of_table:
            continue
        file, batch = _newest_with_rows(of_table, config)
        rows, rejects = parse(batch.rows, config, file=file, ids=ids, ingested_at=ANY_TIME)
        reasons = [*rejects["reason"].to_list(), *batch.rejects["reason"].to_list()]
        counts = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
        refuse_empty_table(table, [each.name for each in of_table], rows.height + len(reasons))
        refuse_bad_file(file.path, rows.height + len(reasons), counts, config.clean)
        columns = batch.rows.columns
        roles = column_roles(columns, file, config.source)
        has_times = table != "interactions" or "timestamp" in roles
        kept = not has_times and config.clean.repeated == "keep"
        checks.append(
            TableCheck(
                table=table,
                files=len(of_table),
                sample_file=file.name,
                rows=rows.height + len(reasons),
                usable=rows.height,
                rejected=counts,
                example=_example(rows),
                unused=_unused(columns, file, files, config),
                has_times=has_times,
                repeats=rows.height - rows.n_unique(SAME_WITHOUT_TIME) if kept else 0,
            )
        )
    return checks


def _newest_with_rows(files: Sequence[SourceFile], config: Config) -> tuple[SourceFile, RawBatch]:
    """The newest file and its first rows; an older one where it has none, as on a quiet day."""
    for file in reversed(files):
        batch = next(iter(read_batches(file, config.source, batch_rows=SAMPLE_ROWS)))
        if batch.rows.height + batch.rejects.height:
            break
    return file, batch


def _example(rows: pl.DataFrame) -> dict[str, Any]:
    """The first row as JSON values: times in ISO 8601, null for no time and for no number."""
    shown = rows.drop("ingested_at", "source_file").head(1)
    return {
        name: _as_json(value) for row in shown.iter_rows(named=True) for name, value in row.items()
    }


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        told = as_told(value)
        return told.isoformat() if told else None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unused(
    columns: Sequence[str], file: SourceFile, files: Sequence[SourceFile], config: Config
) -> tuple[str, ...]:
    """Columns that nothing names, in any of the tables that are read from this file."""
    used = {LINE_COLUMN}
    for table in {other.table for other in files if other.path == file.path}:
        used |= set(column_roles(columns, replace(file, table=table), config.source).values())
        used |= {rule.column for rule in config.clean.reject if rule.table == table}
        if table == "items":
            used |= set(re.findall(r"\{([^{}]*)\}", config.encoder.text_template))
    return tuple(name for name in columns if name not in used)
