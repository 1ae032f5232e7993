"""A look at the data before anything runs: how the first rows of each table are understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pwrank.config import Config
from pwrank.landing.land import refuse_bad_file
from pwrank.landing.parsing import PARSERS
from pwrank.sources import id_types, list_files, read_batches

SAMPLE_ROWS = 10_000

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
    example: str


def check_source(config: Config) -> list[TableCheck]:
    """Parse the first rows of the newest file of each table. Raises as ingest would."""
    files = list_files(config.source)
    ids = id_types(files, config.source)
    checks = []
    for table, (_, parse) in PARSERS.items():
        of_table = [file for file in files if file.table == table]
        if not of_table:
            continue
        file = of_table[-1]
        batch = next(iter(read_batches(file, config.source, batch_rows=SAMPLE_ROWS)))
        rows, rejects = parse(batch.rows, config, file=file, ids=ids, ingested_at=ANY_TIME)
        reasons = [*rejects["reason"].to_list(), *batch.rejects["reason"].to_list()]
        counts = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
        refuse_bad_file(file.path, rows.height + len(reasons), counts, config.clean)
        shown = [name for name in rows.columns if name not in ("ingested_at", "source_file")]
        example = str(rows.select(shown).row(0, named=True)) if rows.height else ""
        checks.append(
            TableCheck(
                table=table,
                files=len(of_table),
                sample_file=file.name,
                rows=rows.height + len(reasons),
                usable=rows.height,
                rejected=counts,
                example=example,
            )
        )
    return checks
