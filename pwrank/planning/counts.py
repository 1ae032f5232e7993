"""How much a night has to do: rows, users, items and texts, counted or scaled up from a share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.embed import embeddings_of
from pwrank.encoder.text_encoder import identify_encoder
from pwrank.landing.drops import Drop
from pwrank.planning.incoming import Clock, Landed, Waiting, ids_of, known_drops, land_share
from pwrank.planning.reusable import Reusable
from pwrank.planning.share_views import (
    night_items,
    refuse_empty_tables,
    refuse_no_histories,
    share_catalogue,
    share_histories,
)
from pwrank.ranker.model_inputs import history_paths
from pwrank.run import Run
from pwrank.store import Store
from pwrank.views.cleaning import before_cut
from pwrank.views.histories import refuse_strangers, strangers

EXACT = 1.01
"""A share that is to be scaled by no more than this is the whole."""


@dataclass(frozen=True)
class Counts:
    """What there is to do; figures of a share are scaled up."""

    files: int
    bytes_in: int
    rows_in: int
    """Rows of the waiting files."""
    rejected: int
    """Those of them that cannot be used."""
    interactions: int
    """Kept as histories."""
    users: int
    items: int
    texts: int
    """Distinct texts of the catalogue."""
    texts_missing: int
    sample: pl.DataFrame
    """Some of the missing texts: content_hash, text."""
    histories: DatasetRef | None
    """The share of the histories that was built, in the scratch lake."""
    catalogue: DatasetRef | None
    """The share of the catalogue that was built, in the scratch lake."""
    landing_seconds: float
    """To land all that is waiting."""
    view_seconds: float | None
    """To build histories and catalogue; None where no share was built."""


def count_night(
    run: Run,
    waiting: Sequence[Waiting],
    scratch: Store,
    done: Reusable,
    *,
    most_bytes: int,
    clock: Clock,
) -> Counts:
    """Land a share of what is waiting in the scratch lake and see what the night will meet.

    Raises SourceError for what the night would refuse, as far as the share tells.
    """
    if done.histories and done.catalogue:
        return _count_done(run, done.histories, done.catalogue)
    scratch.set_id_types(ids_of(run))
    landed = {
        table.table: land_share(run, table, scratch, most_bytes=most_bytes, clock=clock)
        for table in waiting
    }
    old = {table.table: known_drops(run, table) for table in waiting}
    refuse_empty_tables(run, landed)
    started = clock()
    catalogue = share_catalogue(run, scratch, old["items"], landed["items"])
    built = clock() - started
    items = night_items(run, scratch, old["items"], landed["items"], catalogue)
    started = clock()
    histories = share_histories(run, scratch, landed, items["item_id"])
    built += clock() - started
    rows, known = _known_users(run, old["interactions"])
    if not histories:
        refuse_no_histories(run, scratch, old["interactions"], landed, items["item_id"])
    elif not rows and all(table.whole for table in landed.values()):
        unknown = strangers(history_paths(scratch, histories), items["item_id"])
        refuse_strangers(histories, unknown, items["item_id"])
    factor = landed["interactions"].factor
    new_rows = histories.rows if histories else 0
    more_users = _growth(scratch, landed["interactions"], "user_id")
    active = _user_ids(scratch, histories)
    listed = [*_listed(scratch, landed["users"].drops), *_listed(run.store, old["users"])]
    users = max(_distinct(known, active, more_users), sum(table.height for table in listed))
    if factor <= EXACT:  # in a share, who is only listed cannot be told
        met = [table for table in (known, active, *listed) if not table.is_empty()]
        users = pl.concat(met).n_unique() if met else 0
    grown = _growth(scratch, landed["items"], "item_id")
    hashes = items.filter(pl.col("content_hash") != "").unique("content_hash")
    missing = hashes.filter(
        pl.col("content_hash").is_in(_missing(run, hashes["content_hash"]).implode())
    )
    new_items = items.filter("new").height
    more = 1.0 + (grown - 1.0) * new_items / max(items.height, 1)
    interactions = rows + round(new_rows * factor)
    return Counts(
        files=sum(len(table.files) for table in waiting),
        bytes_in=sum(table.bytes for table in waiting),
        rows_in=sum(table.rows_in for table in landed.values()),
        rejected=sum(table.rejected for table in landed.values()),
        interactions=interactions,
        users=users,
        items=round(items.height * more),
        texts=round(hashes.height * more),
        texts_missing=round(missing.height * (grown if missing.height else 1.0)),
        sample=missing.select("content_hash", "text"),
        histories=histories,
        catalogue=catalogue,
        landing_seconds=sum(table.seconds * table.factor for table in landed.values()),
        view_seconds=built * max(1.0, interactions / new_rows) if new_rows else None,
    )


def _count_done(run: Run, histories: DatasetRef, catalogue: DatasetRef) -> Counts:
    """Nothing is waiting and the views are there: they tell."""
    items = pl.read_parquet(catalogue.file_paths(run.store.lake), columns=["content_hash", "text"])
    hashes = items.filter(pl.col("content_hash") != "").unique("content_hash")
    missing = _missing(run, hashes["content_hash"])
    return Counts(
        files=0,
        bytes_in=0,
        rows_in=0,
        rejected=0,
        interactions=histories.rows,
        users=histories.figures["users"],
        items=catalogue.rows,
        texts=hashes.height,
        texts_missing=len(missing),
        sample=hashes.filter(pl.col("content_hash").is_in(missing.implode())),
        histories=None,
        catalogue=None,
        landing_seconds=0.0,
        view_seconds=None,
    )


def _known_users(run: Run, drops: list[Drop]) -> tuple[int, pl.DataFrame]:
    """How many landed interactions lie before the cut, and whose they are: user_id, each once."""
    files = [run.store.lake / name for drop in drops for name in drop.files]
    if not files:
        return 0, pl.DataFrame(schema={"user_id": ids_of(run).user.dtype})
    counts = before_cut(pl.scan_parquet(files), run.cut).group_by("user_id").len()
    found = counts.collect(engine="streaming")
    return int(found["len"].sum()), found.select("user_id")


def _user_ids(scratch: Store, histories: DatasetRef | None) -> pl.DataFrame:
    """user_id of every row of the share."""
    paths = history_paths(scratch, histories) if histories else []
    return pl.read_parquet(paths, columns=["user_id"]) if paths else pl.DataFrame()


def _listed(store: Store, drops: Sequence[Drop]) -> list[pl.DataFrame]:
    """user_id of the rows of a users table, by file."""
    paths = [store.lake / name for drop in drops for name in drop.files]
    return [pl.read_parquet(path, columns=["user_id"]) for path in paths]


def _distinct(known: pl.DataFrame, share: pl.DataFrame, grown: float) -> int:
    """Distinct ids: those known, each in a row of its own, and those that a share stands for."""
    if share.is_empty():
        return known.height
    new = share.unique().join(known, on=known.columns, how="anti")
    return known.height + round(new.height * grown)


def _growth(scratch: Store, landed: Landed, column: str) -> float:
    """How many times as many distinct ids all rows hold as the share does.

    Distinct ids grow with a power of the rows (Heaps' law) that falls as they run out. It is read
    off a quarter, a half and all of the share, in whole files, or in the first rows of a single
    one: a random part of the rows would not do, since a user's rows lie together.
    """
    parts = [[scratch.lake / name for name in drop.files] for drop in landed.drops if drop.files]
    if landed.factor <= EXACT or not parts:
        return 1.0
    frames = [pl.read_parquet(paths, columns=[column]) for paths in parts]
    whole = pl.concat(frames)
    several = len(frames) >= 4  # noqa: PLR2004 - a quarter of them is one
    half = pl.concat(frames[::2]) if several else whole.head(whole.height // 2)
    quarter = pl.concat(frames[::4]) if several else whole.head(whole.height // 4)
    late = _exponent(half, whole)
    slowing = min(0.0, late - _exponent(quarter, half))
    doublings, grown = math.log2(landed.factor), 1.0
    while doublings > 0:
        late = max(0.0, late + slowing)
        grown *= 2 ** (late * min(1.0, doublings))
        doublings -= 1
    return grown


def _exponent(small: pl.DataFrame, large: pl.DataFrame) -> float:
    """Of the growth of distinct ids from some rows to more; 1 where they are too few to tell."""
    if small.is_empty() or small.height == large.height:
        return 1.0
    return min(1.0, math.log(large.n_unique() / small.n_unique(), large.height / small.height))


def _missing(run: Run, hashes: pl.Series) -> pl.Series:
    parts = embeddings_of(run.store, identify_encoder(run.config.encoder).key)
    return parts.cover(hashes)[1]
