"""Landing: one source file becomes typed Parquet rows and counted rejects, once.

Memory is bounded by the batch, not by the file. A drop is recorded only when all its parts are
in place; a landing that was killed leaves a folder without a record, which the next one removes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from pwrank.config import Config, SourceConfig
from pwrank.config_file import section_hash
from pwrank.datasets import NO_TIME, REJECTS, IdTypes
from pwrank.errors import ContractError
from pwrank.landing.drops import Drop, Pending, moments_of, write_drop
from pwrank.landing.parsing import PARSERS, reject_rows
from pwrank.landing.refusing import (
    mixed_times,
    refuse_bad_file,
    refuse_days_of_a_spreadsheet,
    refuse_emptied,
    refuse_other_encoding,
)
from pwrank.landing.suppression import Sieve, read_suppression
from pwrank.sources import RawBatch, SourceFile, Table, id_types, read_batches
from pwrank.store import Store, write_dataset

PARSE_VERSION = 2
"""Raise when the same source file would land as other rows."""

IN_THE_FUTURE = "timestamp is in the future"
CLOCK_TOLERANCE = timedelta(days=1)
"""Zones and clocks differ by less than a day; anything later cannot have happened."""


def parse_key(config: Config, table: Table) -> str:
    """What the landed rows depend on besides the file: columns, formats, reject rules."""
    source = config.source.model_dump(
        mode="json", exclude={"interactions", "items", "users", "folder"}
    )
    rules = [rule.model_dump(mode="json") for rule in config.clean.reject if rule.table == table]
    template = config.encoder.text_template if table == "items" else ""
    return section_hash(source, {"rules": rules, "template": template, "version": PARSE_VERSION})


def lake_id_types(
    store: Store, drops: Iterable[Drop], files: Sequence[SourceFile], source: SourceConfig
) -> IdTypes:
    """Types of the ids: those of the landed rows, else such as a first landing would settle.

    drops: of all tables. While no row is landed nothing is settled: a first run that was refused
    has left types, but no rows.
    """
    settled = store.id_types() if any(drop.files for drop in drops) else None
    return settled or id_types(files, source)


@dataclass
class _Landing:
    """Counts of a landing under way."""

    rows_in: int = 0
    rows_landed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)
    reject_files: list[str] = field(default_factory=list)


def land(
    store: Store,
    pending: Pending,
    config: Config,
    *,
    ids: IdTypes,
    ingested_at: datetime,
    beside: Drop | None = None,
) -> Drop:
    """Land one file and record the drop.

    beside: a drop of its table, with rows, that will stay. Raises SourceError if too large a share
    of its rows is unusable, if it has none where it had some, if item rows contradict each other,
    if its times look like days of a spreadsheet, or if one of the two has times and the other has
    none; nothing of the file is in the lake then.
    """
    table, rules = pending.file.table, parse_key(config, pending.file.table)
    drop_id = pending.drop_id(rules, ingested_at)
    landing = _Landing()
    dataset, _ = PARSERS[table]
    sieve = Sieve(read_suppression(store), table)
    for number, batch in enumerate(_typed_batches(pending, config, ids, ingested_at)):
        rows, rejects = sieve.sift(*batch)
        part = f"part-{number:05d}.parquet"
        if rows.height:
            path = store.lake / table / drop_id / part
            write_dataset(store, dataset, rows, path, ids)
            landing.files.append(f"{table}/{drop_id}/{part}")
        if rejects.height:
            path = store.lake / "rejects" / table / drop_id / part
            write_dataset(store, REJECTS, rejects, path, ids)
            landing.reject_files.append(f"rejects/{table}/{drop_id}/{part}")
        landing.rows_in += rows.height + rejects.height
        landing.rows_landed += rows.height
        landing.rejected.update(dict(rejects["reason"].value_counts().iter_rows()))
    refuse_emptied(pending, landing.rows_in)
    refuse_bad_file(pending.file.path, landing.rows_in, landing.rejected, config.clean)
    if table == "interactions" and landing.files:
        ends = [end for name in landing.files for end in moments_of(store.lake / name)]
        refuse_days_of_a_spreadsheet(pending.file.path, ends, config.source)
        if beside:
            _refuse_other_times(store, pending, landing.files, beside, ingested_at)
    drop = Drop(
        id=drop_id,
        table=table,
        source_file=pending.file.name,
        sha256=pending.sha256,
        size=pending.size,
        mtime_ns=pending.mtime_ns,
        parse_key=rules,
        ingested_at=ingested_at,
        supersedes=pending.supersedes,
        rows_in=landing.rows_in,
        rows_landed=landing.rows_landed,
        rejected=dict(landing.rejected),
        files=tuple(landing.files),
        reject_files=tuple(landing.reject_files),
        forgotten=tuple(sorted(sieve.found)),
    )
    write_drop(store, drop)
    return drop


def _refuse_other_times(
    store: Store,
    pending: Pending,
    files: Sequence[str],
    beside: Drop,
    ingested_at: datetime,
) -> None:
    """Raise SourceError where a file would mix rows of no time with others.

    Files that bring times to a lake without them may come one by one, in runs of their own.
    """
    mine, theirs = has_times(store, files), has_times(store, beside.files)
    if mine == theirs or (mine and beside.ingested_at < ingested_at):
        return
    path, name = pending.file.path, beside.source_file
    raise mixed_times(*((path, name) if theirs else (name, path)))


def has_times(store: Store, files: Sequence[str]) -> bool:
    """Whether landed interactions say when they happened."""
    return any(moments_of(store.lake / name)[-1:] != [NO_TIME] for name in files)


def _typed_batches(
    pending: Pending, config: Config, ids: IdTypes, ingested_at: datetime
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Typed rows and rejects of each batch."""
    for batch in read_batches(pending.file, config.source):
        yield typed_batch(batch, pending.file, config, ids=ids, ingested_at=ingested_at)


def typed_batch(
    batch: RawBatch, file: SourceFile, config: Config, *, ids: IdTypes, ingested_at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Typed rows and rejects of one batch; together they are the rows that were read.

    Raises SourceError if the batch lacks a column or is of another encoding, ConfigError for a
    reject rule that cannot be.
    """
    refuse_other_encoding(batch, file.path, config.source)
    _, parse = PARSERS[file.table]
    rows, rejects = parse(batch.rows, config, file=file, ids=ids, ingested_at=ingested_at)
    if file.table == "interactions":
        rows, late = _reject_future(rows, ingested_at)
        rejects = pl.concat([rejects, late])
    broken = reject_rows(batch.rejects, file=file, ingested_at=ingested_at)
    read = batch.rows.height + broken.height
    if rows.height + rejects.height + broken.height != read:
        raise ContractError(
            f"{file.path}: {read} rows read, {rows.height} typed, "
            f"{rejects.height + broken.height} rejected"
        )
    return rows, pl.concat([rejects, broken]).sort("source_line")


def _reject_future(rows: pl.DataFrame, ingested_at: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split off rows that claim to have happened after they were ingested."""
    future = pl.col("occurred_at") > ingested_at + CLOCK_TOLERANCE
    late = rows.filter(future)
    fields = ("user_id", "item_id", "event", "occurred_at", "rating")
    rejects = late.select(
        pl.lit("interactions").alias("table"),
        "source_file",
        "source_line",
        pl.lit(IN_THE_FUTURE).alias("reason"),
        pl.struct(fields).struct.json_encode().alias("raw"),
        "ingested_at",
    )
    return rows.filter(~future), rejects
