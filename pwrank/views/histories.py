"""The interactions as an as-of date knows them: cleaned, one file a shard of users.

Memory is bounded by two million rows while they are split, and by as many and one shard afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl

from pwrank.config import Config
from pwrank.config_file import section_hash
from pwrank.datasets import HISTORIES, INTERACTIONS, USERS, DatasetRef, IdTypes, as_told
from pwrank.errors import ContractError, SourceError
from pwrank.horizon import MOMENTS, SEEN_UNTIL, horizon
from pwrank.landing.drops import Drop
from pwrank.store import Store, fingerprint, shard_of, write_dataset
from pwrank.views import cleaning
from pwrank.views.file_order import OrderEvidence, by_chance

VIEW_VERSION = 3
"""Raise when the same drops would give another view."""

SPILL_ROWS = 2_000_000
"""Rows held while they are split into shards; 2 million take some 300 MB."""


def histories_key(
    drops: Sequence[Drop], config: Config, *, cut: datetime, catalogue_key: str
) -> str:
    """Name of the histories that these drops of interactions, then of users, give."""
    return fingerprint(
        "histories",
        VIEW_VERSION,
        [drop.content_key for drop in drops],
        cut,
        section_hash(config.clean),
        config.score.shards,
        catalogue_key if config.clean.unknown_items == "drop" else "",
    )


def build_histories(
    store: Store,
    drops: Sequence[Drop],
    listed: Sequence[Drop],
    config: Config,
    *,
    known_items: pl.Series,
    as_of: date,
    cut: datetime,
    catalogue_key: str,
) -> DatasetRef:
    """Write HISTORIES and USERS, one file each a shard, for what `drops` hold before `cut`.

    listed: drops of the users table, whose users are owed a list whatever they did.
    """
    key = histories_key([*drops, *listed], config, cut=cut, catalogue_key=catalogue_key)
    if found := store.reuse("histories", as_of, key):
        return found
    ids = store.id_types() or IdTypes()
    folder = store.folder("histories", as_of, key)
    shards = config.score.shards
    rows_seen = sum(drop.rows_landed for drop in drops)
    split = _split(store, drops, folder, cut, shards=shards)
    counts: Counter[str] = Counter({"after the cut": rows_seen - split.rows})
    others = _listed_users(store, listed, shards, ids)
    unordered = by_chance(split.evidence, config.clean)
    for shard in range(shards):
        rows = split.take(shard, ids)
        users = _users_of(rows, others, shard)
        rows, removed = cleaning.clean_shard(
            rows, config.clean, known_items, in_order=not unordered
        )
        counts.update(removed)
        _write_shard(store, folder, shard, rows=rows, users=users, ids=ids)
    if config.clean.min_item_interactions > 1:
        counts.update(_drop_rare_items(store, folder, config, ids=ids))
    latest = split.latest
    listed_at = max((drop.ingested_at for drop in listed), default=None)
    seen_until = horizon(
        cut,
        occurred_at=latest["occurred_at"],
        ingested_at=max(filter(None, (latest["ingested_at"], listed_at)), default=None),
    )
    return _commit_histories(
        store,
        folder,
        key,
        as_of,
        rows_seen=rows_seen,
        counts=counts,
        told={"by_chance": unordered, SEEN_UNTIL: seen_until},
    )


def strangers(paths: Sequence[Path], known_items: pl.Series) -> pl.DataFrame:
    """item_id of every row of HISTORIES files whose item the catalogue, which may change, lacks."""
    known = pl.col("item_id").is_in(known_items.implode())
    return pl.scan_parquet(list(paths)).select("item_id").filter(~known).collect()


def refuse_strangers(histories: DatasetRef, unknown: pl.DataFrame, known_items: pl.Series) -> None:
    """Raise SourceError if no interaction is with an item of the catalogue: a wrong column."""
    if unknown.height == histories.rows:
        raise only_strangers(unknown["item_id"], known_items)


def only_strangers(unknown: pl.Series, known_items: pl.Series) -> SourceError:
    """For interactions with items (m,) of which none is among those of the catalogue (n,)."""
    return SourceError(
        f"no interactions with known items: the {len(unknown):,} interactions have item ids "
        f"such as {unknown[0]!r}, the {len(known_items):,} items of the catalogue such as "
        f"{known_items[0]!r}; let source.columns.item_id and items_item_id name columns of like ids"
    )


class _Split:
    """The rows before a cut by shard: full groups of drops on disk, the last ones in memory."""

    def __init__(self, folder: Path, shards: int) -> None:
        self.folder, self.shards = folder, shards
        self.rows = 0
        self.latest: dict[str, datetime | None] = dict.fromkeys(MOMENTS)
        self.evidence = OrderEvidence()
        self._spilled = 0
        self._held: dict[int, pl.DataFrame] = {}
        for left in folder.glob("spill-*.parquet"):  # by a run that was killed
            left.unlink()

    def add(self, paths: list[Path], cut: datetime) -> None:
        """Split some landed files; what was held in memory goes to disk before."""
        self._spill()
        rows = cleaning.before_cut(pl.scan_parquet(paths), cut).collect(engine="streaming")
        for name in MOMENTS:
            moments = (self.latest[name], cast("datetime | None", rows[name].max()))
            self.latest[name] = max(filter(None, moments), default=None)
        self.rows += rows.height
        self.evidence.add(rows)
        parts = rows.with_columns(shard_of(rows["user_id"], self.shards)).partition_by(
            "shard", as_dict=True, include_key=False
        )
        self._held = {int(shard): part for (shard,), part in parts.items()}

    def take(self, shard: int, ids: IdTypes) -> pl.DataFrame:
        """The rows of a shard, in the order in which they were added; once."""
        parts = [pl.read_parquet(p) for p in sorted(self.folder.glob(f"spill-{shard:05d}-*"))]
        if shard in self._held:
            parts.append(self._held.pop(shard))
        return pl.concat(parts) if parts else INTERACTIONS.schema(ids).to_frame()

    def _spill(self) -> None:
        for shard, part in self._held.items():
            path = self.folder / f"spill-{shard:05d}-{self._spilled:05d}.parquet"
            part.write_parquet(path, compression="uncompressed")
        self._spilled += 1


def _split(
    store: Store, drops: Sequence[Drop], folder: Path, cut: datetime, *, shards: int
) -> _Split:
    """The rows of the drops before the cut, by shard, read some 2 million at a time."""
    split = _Split(folder, shards)
    paths, rows = list[Path](), 0
    for drop in drops:
        for name in drop.files:
            paths.append(store.lake / name)
            rows += drop.rows_landed // len(drop.files)
            if rows >= SPILL_ROWS:
                split.add(paths, cut)
                paths, rows = [], 0
    if paths:
        split.add(paths, cut)
    return split


def _listed_users(store: Store, listed: Sequence[Drop], shards: int, ids: IdTypes) -> pl.DataFrame:
    """user_id and shard of everyone in the users table."""
    paths = [store.lake / name for drop in listed for name in drop.files]
    if paths:
        users = pl.scan_parquet(paths).select(pl.col("user_id").unique()).collect()
    else:
        users = USERS.schema(ids).to_frame()
    return users.with_columns(shard_of(users["user_id"], shards))


def _users_of(rows: pl.DataFrame, others: pl.DataFrame, shard: int) -> pl.DataFrame:
    """Everyone of a shard who is owed a list: with a row before the cut, or listed."""
    named = others.filter(pl.col("shard") == shard).select("user_id")
    return pl.concat([rows.select("user_id"), named]).unique().sort("user_id")


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


def _drop_rare_items(store: Store, folder: Path, config: Config, *, ids: IdTypes) -> Counter[str]:
    counts: Counter[str] = Counter()
    paths = sorted(folder.glob("part-*.parquet"))
    totals = pl.scan_parquet(paths).group_by("item_id").len().collect()
    for path in paths:
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
    told: Mapping[str, Any],
) -> DatasetRef:
    """told: figures that are known already."""
    names = sorted(path.name for path in folder.glob("part-*.parquet"))
    scan = pl.scan_parquet([folder / name for name in names])
    rows, latest = scan.select(pl.len(), pl.col("occurred_at").max()).collect().row(0)
    users = pl.scan_parquet([folder / n.replace("part", "users") for n in names])
    if rows_seen != rows + counts.total():
        raise ContractError(f"histories lost rows: {rows_seen} in, {rows} kept, {dict(counts)}")
    if rows == 0:
        raise SourceError(
            f"no interactions before {as_of}: of {rows_seen:,} rows"
            + "".join(f", {count:,} {reason}" for reason, count in counts.items() if count)
            + "; choose a later --as-of or check [clean]"
        )
    figures = {
        "rows_in": rows_seen,
        "set_aside": {reason: count for reason, count in sorted(counts.items()) if count},
        "users": users.select(pl.len()).collect().item(),
        "latest_occurred_at": moment.isoformat() if (moment := as_told(latest)) else None,
        **told,
    }
    files = [*names, *(name.replace("part", "users") for name in names)]
    return store.commit("histories", as_of, key, files=files, rows=rows, figures=figures)
