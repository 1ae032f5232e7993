"""Ingest: source drops -> interactions, items, rejects; then what one as-of date may know of them.

Two steps. Landing reads new and changed files, once each, whatever the date. The as-of view then
takes what was known at `known_at` and happened before the cut: `histories` (cleaned interactions,
one file a shard of users) and `catalogue` (items with the text that the encoder reads).
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.datasets import DatasetRef
from pwrank.errors import ColumnError, ContractError
from pwrank.gates.arrival import judge_input
from pwrank.landing.drops import (
    Drop,
    check_landed,
    pending_files,
    read_drops,
    sweep_unrecorded,
    visible_drops,
)
from pwrank.landing.land import lake_id_types, land, parse_key
from pwrank.landing.parsing import PARSERS
from pwrank.landing.refusing import refuse_empty_table
from pwrank.locks import landing_lock
from pwrank.publication import published_dates
from pwrank.ranker.model_inputs import history_paths
from pwrank.run import Run
from pwrank.sources import Table, list_files
from pwrank.store import Progress, Store
from pwrank.views.catalogue import build_catalogue
from pwrank.views.histories import build_histories, refuse_strangers, strangers


@dataclass(frozen=True)
class Ingested:
    """What later stages read, and the account of every row."""

    histories: DatasetRef
    catalogue: DatasetRef
    unknown_items: int
    """Interactions whose item the catalogue lacks: history, but never ranked."""
    landed: dict[str, Any]
    """Account of tonight's landing: files, rows_in, rows_landed, rejected by reason."""


def land_drops(
    store: Store, config: Config, *, now: datetime, progress: Progress | None = None
) -> dict[str, Any]:
    """Land every new or changed source file. Returns the account of this landing, by table."""
    with landing_lock(store):
        files = list_files(config.source)
        known = {table: read_drops(store, table) for table in PARSERS}
        ids = lake_id_types(store, itertools.chain(*known.values()), files, config.source)
        if ids != store.id_types():
            store.set_id_types(ids)
        account: dict[str, Any] = {}
        for table in PARSERS:
            sweep_unrecorded(store, table)
            of_table = [file for file in files if file.table == table]
            if not of_table:
                continue
            rules = parse_key(config, table)
            drops: list[Drop] = []
            waiting = pending_files(of_table, known[table], rules)
            gone = {pending.supersedes for pending in waiting}
            stay = [drop for drop in visible_drops(known[table], now) if drop.id not in gone]
            beside = next((drop for drop in reversed(stay) if drop.files), None)
            for pending in waiting:
                with _odd_one_out([*stay, *drops], rules):
                    drop = land(store, pending, config, ids=ids, ingested_at=now, beside=beside)
                drops.append(drop)
                beside = drop if drop.files else beside
                if progress:
                    progress(1)
            # Also what a run beside this one has landed since.
            rows_in = sum(drop.rows_in for drop in (*known[table], *drops))
            refuse_empty_table(table, [file.name for file in of_table], rows_in)
            account[table] = _landing_account(drops, unchanged=len(of_table) - len(drops))
        return account


@contextlib.contextmanager
def _odd_one_out(others: Sequence[Drop], rules: str) -> Iterator[None]:
    """Say that others have the columns that a file lacks: another setting would lose theirs."""
    try:
        yield
    except ColumnError as error:
        alike = sum(drop.parse_key == rules for drop in others)
        if not alike:
            raise
        told = f"{alike:,} other files are read by these settings; rather mend this one"
        raise ColumnError(f"{error}\n{told} and keep its name") from None


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


def known_drops(store: Store, known_at: datetime, *, everything: bool) -> dict[Table, list[Drop]]:
    """Drops that exist for a run, by table, as one moment of the ledger has them.

    everything: also what a run beside this one landed after this one had begun.
    """
    with landing_lock(store):
        ledger = {table: read_drops(store, table) for table in PARSERS}
    if everything:
        landed = [drop.ingested_at for drops in ledger.values() for drop in drops]
        known_at = max([known_at, *landed])
    return {table: visible_drops(drops, known_at) for table, drops in ledger.items()}


def ingest(run: Run, *, progress: Progress | None = None) -> Ingested:
    """Land what is new, then write what the as-of date may know.

    Rows landed now become known at `run.now`, the same on a retry; only drops ingested until
    `run.known_at` exist for this run. Raises GateRefusedError if what came since the last published
    night is broken.
    """
    store, config, as_of, cut = run.store, run.config, run.as_of, run.cut
    store.sweep_temporary()
    landed = land_drops(store, config, now=run.now, progress=progress)
    drops = known_drops(store, run.known_at, everything=run.known_at >= run.now)
    for each in drops.values():
        check_landed(store, each)
    catalogue = build_catalogue(store, drops["items"], config, as_of=as_of, cut=cut)
    judge_input(
        store,
        config,
        as_of=as_of,
        known_at=run.known_at,
        drops=drops,
        catalogue=catalogue,
        overrides=run.overrides,
        now=run.now,
    )
    (path,) = catalogue.file_paths(store.lake)
    known_items = pl.read_parquet(path, columns=["item_id"])["item_id"]
    histories = build_histories(
        store,
        drops["interactions"],
        drops["users"],
        config,
        known_items=known_items,
        as_of=as_of,
        cut=cut,
        catalogue_key=catalogue.key,
    )
    unknown = strangers(history_paths(store, histories), known_items)
    if not published_dates(store):  # later all articles of a site may be new ones
        refuse_strangers(histories, unknown, known_items)
    return Ingested(histories, catalogue, unknown.height, landed)
