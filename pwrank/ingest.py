"""Ingest: source drops -> interactions, items, rejects; then what one as-of date may know of them.

Two steps. Landing reads new and changed files, once each, whatever the date. The as-of view then
takes what was known at `known_at` and happened before the cut: `histories` (cleaned interactions,
one file a shard of users) and `catalogue` (items with the text that the encoder reads).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pwrank import cleaning
from pwrank.catalogue_view import build_catalogue
from pwrank.config import Config, section_hash
from pwrank.datasets import HISTORIES, INTERACTIONS, USERS, DatasetRef, IdTypes
from pwrank.drops import (
    Drop,
    pending_files,
    read_drops,
    sweep_unrecorded,
    visible_drops,
)
from pwrank.errors import ContractError, SourceError
from pwrank.landing import land, parse_key
from pwrank.locks import landing_lock
from pwrank.sources import Table, id_types, list_files
from pwrank.store import Progress, Store, fingerprint, shard_of, write_dataset

VIEW_VERSION = 1
"""Raise when the same drops would give another view."""

SPILL_ROWS = 2_000_000
"""Rows held while they are split into shards; 2 million take some 300 MB."""


@dataclass(frozen=True)
class Ingested:
    """What later stages read, and the account of every row."""

    histories: DatasetRef
    catalogue: DatasetRef
    landed: dict[str, Any]
    """Account of tonight's landing: files, rows_in, rows_landed, rejected by reason."""


def land_drops(
    store: Store, config: Config, *, now: datetime, progress: Progress | None = None
) -> dict[str, Any]:
    """Land every new or changed source file. Returns the account of this landing, by table."""
    with landing_lock(store):
        files = list_files(config.source)
        ids = store.id_types()
        if ids is None:
            ids = id_types(files, config.source)
            store.set_id_types(ids)
        account: dict[str, Any] = {}
        tables: tuple[Table, ...] = ("interactions", "items")
        for table in tables:
            sweep_unrecorded(store, table)
            of_table = [file for file in files if file.table == table]
            known, rules = read_drops(store, table), parse_key(config, table)
            drops = []
            for pending in pending_files(of_table, known, rules):
                drops.append(land(store, pending, config, ids=ids, ingested_at=now))
                if progress:
                    progress(1)
            account[table] = _landing_account(drops, unchanged=len(of_table) - len(drops))
        return account


def _landing_account(drops: Sequence[Drop], *, unchanged: int) -> dict[str, Any]:
    rejected: Counter[str] = Counter()
    for drop in drops:
        rejected.update(drop.rejected)
    rows_in = sum(drop.rows_in for drop in drops)
    rows_landed = sum(drop.rows_landed for drop in drops)
    if rows_in != rows_landed + rejected.total():
        raise ContractError(f"landing lost rows: {rows_in} in, {rows_landed} landed, {rejected}")
    return {
        "files": len(drops),
        "files_unchanged": unchanged,
        "rows_in": rows_in,
        "rows_landed": rows_landed,
        "rejected": dict(sorted(rejected.items())),
    }


def build_histories(
    store: Store,
    drops: Sequence[Drop],
    known_items: pl.Series,
    config: Config,
    *,
    as_of: date,
    cut: datetime,
    catalogue_key: str,
) -> DatasetRef:
    """Write HISTORIES and USERS, one file each a shard, for what `drops` hold before `cut`."""
    key = fingerprint(
        "histories",
        VIEW_VERSION,
        [drop.content_key for drop in drops],
        cut,
        section_hash(config.clean),
        config.score.shards,
        catalogue_key if config.clean.unknown_items == "drop" else "",
    )
    if found := store.reuse("histories", as_of, key):
        return found
    ids = store.id_types() or IdTypes()
    folder = store.folder("histories", as_of, key)
    shards = config.score.shards
    rows_seen, spilled = _spill(store, drops, folder, cut, shards=shards)
    counts: Counter[str] = Counter({"after the cut": rows_seen - sum(spilled)})
    item_counts: list[pl.DataFrame] = []
    for shard in range(shards):
        rows = _read_spill(folder, shard, ids)
        users = _users_of(rows)
        rows, removed = cleaning.clean_shard(rows, config.clean, known_items)
        counts.update(removed)
        item_counts.append(rows.group_by("item_id").len())
        _write_shard(store, folder, shard, rows=rows, users=users, ids=ids)
    if config.clean.min_item_interactions > 1:
        counts.update(_drop_rare_items(store, folder, item_counts, config, ids=ids))
    return _commit_histories(
        store, folder, key, as_of, rows_seen=rows_seen, counts=counts, shards=shards
    )


def _spill(
    store: Store, drops: Sequence[Drop], folder: Path, cut: datetime, *, shards: int
) -> tuple[int, list[int]]:
    """Split the rows before the cut into one folder a shard, some 2 million rows at a time.

    Returns the rows of all drops, and per shard the rows before the cut.
    """
    totals, number, held, rows_held = [0] * shards, 0, list[Path](), 0
    rows_seen = sum(drop.rows_landed for drop in drops)

    def flush() -> None:
        nonlocal number, held, rows_held
        if held:
            rows = cleaning.before_cut(pl.scan_parquet(held), cut).collect(engine="streaming")
            rows = rows.with_columns(shard_of(rows["user_id"], shards))
            for (shard,), part in rows.partition_by("shard", as_dict=True).items():
                path = folder / f"spill-{shard:05d}-{number:05d}.parquet"
                part.drop("shard").write_parquet(path, compression="uncompressed")
                totals[int(shard)] += part.height
            number, held, rows_held = number + 1, [], 0

    for drop in drops:
        for name in drop.files:
            held.append(store.lake / name)
        rows_held += drop.rows_landed
        if rows_held >= SPILL_ROWS:
            flush()
    flush()
    return rows_seen, totals


def _read_spill(folder: Path, shard: int, ids: IdTypes) -> pl.DataFrame:
    parts = sorted(folder.glob(f"spill-{shard:05d}-*.parquet"))
    if not parts:
        return INTERACTIONS.schema(ids).to_frame()
    return pl.read_parquet(parts)


def _users_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Every user with a row before the cut: whoever is here is owed a list."""
    return rows.select(pl.col("user_id").unique()).sort("user_id")


def _write_shard(
    store: Store,
    folder: Path,
    shard: int,
    *,
    rows: pl.DataFrame,
    users: pl.DataFrame,
    ids: IdTypes,
) -> None:
    rows = rows.select(HISTORIES.schema(ids).names())
    write_dataset(store, HISTORIES, rows, folder / f"part-{shard:05d}.parquet", ids)
    write_dataset(store, USERS, users, folder / f"users-{shard:05d}.parquet", ids)
    for spill in folder.glob(f"spill-{shard:05d}-*.parquet"):
        spill.unlink()


def _drop_rare_items(
    store: Store, folder: Path, item_counts: list[pl.DataFrame], config: Config, *, ids: IdTypes
) -> Counter[str]:
    totals = pl.concat(item_counts).group_by("item_id").agg(pl.col("len").sum())
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("part-*.parquet")):
        rows, removed = cleaning.drop_rare_items(
            pl.read_parquet(path), totals, config.clean.min_item_interactions
        )
        counts.update(removed)
        write_dataset(store, HISTORIES, rows, path, ids)
    return counts


def _commit_histories(
    store: Store,
    folder: Path,
    key: str,
    as_of: date,
    *,
    rows_seen: int,
    counts: Counter[str],
    shards: int,
) -> DatasetRef:
    names = [f"part-{shard:05d}.parquet" for shard in range(shards)]
    scan = pl.scan_parquet([folder / name for name in names])
    rows, latest = scan.select(pl.len(), pl.col("occurred_at").max()).collect().row(0)
    users = pl.scan_parquet([folder / n.replace("part", "users") for n in names])
    if rows_seen != rows + counts.total():
        raise ContractError(f"histories lost rows: {rows_seen} in, {rows} kept, {dict(counts)}")
    if rows == 0:
        raise SourceError(
            f"no interactions before {as_of}: of {rows_seen:,} rows, "
            + ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)
            + "; choose a later --as-of or check [clean]"
        )
    figures = {
        "rows_in": rows_seen,
        "set_aside": {reason: count for reason, count in sorted(counts.items()) if count},
        "users": users.select(pl.len()).collect().item(),
        "latest_occurred_at": latest.isoformat(),
    }
    files = [*names, *(name.replace("part", "users") for name in names)]
    return store.commit("histories", as_of, key, files=files, rows=rows, figures=figures)


def ingest(
    store: Store,
    config: Config,
    *,
    as_of: date,
    cut: datetime,
    now: datetime,
    known_at: datetime,
    progress: Progress | None = None,
) -> Ingested:
    """Land what is new, then write what the as-of date may know.

    cut: the instant at which `as_of` begins. now: when tonight's rows become known; the same on a
    retry. known_at: only drops ingested until then exist for this run.
    """
    landed = land_drops(store, config, now=now, progress=progress)
    items = visible_drops(read_drops(store, "items"), known_at)
    interactions = visible_drops(read_drops(store, "interactions"), known_at)
    catalogue = build_catalogue(store, items, config, as_of=as_of, cut=cut)
    (path,) = catalogue.file_paths(store.lake)
    known_items = pl.read_parquet(path, columns=["item_id"])["item_id"]
    histories = build_histories(
        store,
        interactions,
        known_items,
        config,
        as_of=as_of,
        cut=cut,
        catalogue_key=catalogue.key,
    )
    return Ingested(histories, catalogue, landed)
