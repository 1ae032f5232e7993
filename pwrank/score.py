"""Score: the list of every user, one shard at a time, from histories to Parquet in memory.

Per block of users: history -> user vector -> nearest items -> point-wise score of each candidate
-> rules -> top k with reasons. Candidates are never written, and what a user gets depends on
nobody else, however users are cut into shards and blocks.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pwrank.config import Config
from pwrank.config_file import section_hash
from pwrank.datasets import RANKINGS, DatasetRef, IdTypes
from pwrank.errors import SourceError
from pwrank.horizon import SEEN_UNTIL, horizon_of
from pwrank.lists.candidates import Candidates, find_candidates
from pwrank.lists.coverage import newcomer_logits
from pwrank.lists.exploration import Explorable, explorable, explored_shares
from pwrank.lists.item_index import ItemIndex, read_item_index
from pwrank.lists.ladder import items_without_vector, name_sources
from pwrank.lists.rank_by_rank import number_categories
from pwrank.lists.reranking import ItemFacts, by_score, rerank
from pwrank.lists.sources_of_ranks import (
    ALL_SOURCES,
    EXPLORE,
    POPULAR,
    POPULAR_FILL,
    RANKER,
    RANKER_TEXT,
)
from pwrank.lists.user_lists import UserLists, as_frame, empty_lists
from pwrank.lists.workers import in_order, workers_of_a_shard
from pwrank.machine import hand_back_freed_memory
from pwrank.published_refs import NightRefs
from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.model import Ranker, UserTable
from pwrank.ranker.model_inputs import Reading, history_paths, read_histories
from pwrank.ranker.night_scorer import NightScorer
from pwrank.ranker.user_blocks import UserBlock, block_table, user_blocks
from pwrank.ranker.weights import read_ranker
from pwrank.run import Run
from pwrank.signatures import SIGNED, sign
from pwrank.store import Progress, Store, fingerprint, is_whole, write_dataset

SCORE_VERSION = 20
"""Raise when the same inputs would give other lists."""


def staged_key(night: NightRefs, config: Config) -> str:
    """Name of the staged rankings that these inputs give."""
    keys = [*(ref.key for ref in night.refs()), *night.degraded()]
    rules = [section_hash(config.score), section_hash(config.rerank)]
    return fingerprint("staged", SCORE_VERSION, keys, rules)


@dataclass(frozen=True)
class Part:
    """One staged part."""

    rows: int
    reused: bool
    pairs: int
    """Users times candidates that were scored for it just now."""


@dataclass(frozen=True)
class Scorer:
    """Model and items, once a process: shards that run beside each other share them."""

    ranker: Ranker
    night: NightScorer
    items: ItemIndex
    facts: ItemFacts
    without_vector: pl.Series
    """`item_id` of the items whose text the encoder could not be asked for."""
    reading: Reading
    model_version: str


@dataclass(frozen=True)
class RuleInputs:
    """What `[rerank]` needs of the items, once a shard; None where a dial is at zero."""

    explorable: Explorable | None
    newcomer: FloatArray | None
    """(n,) see `newcomer_logits`."""


_LOADING = threading.Lock()


@functools.lru_cache(maxsize=1)
def load_scorer(lake: Path, night: NightRefs) -> Scorer:
    """Read and prepare what every shard of a night needs."""
    ranker = read_ranker(lake, night.model)
    items = read_item_index(
        lake, index=night.index, catalogue=night.catalogue, embeddings=night.embeddings
    )
    (path,) = night.catalogue.file_paths(lake)
    category = number_categories(pl.read_parquet(path, columns=["category"])["category"])
    facts = ItemFacts(category, items.catalogue.text, items.interactions)
    reading = Reading.of(night.model)
    version = night.model.figures["model_version"]
    without = items_without_vector(Store(lake), night)
    return Scorer(ranker, NightScorer(ranker, items.table), items, facts, without, reading, version)


def score_shard(
    run: Run, night: NightRefs, *, shard: int, progress: Progress | None = None
) -> Part:
    """Write the staged part of one shard, unless it is there. Rows are sorted (user_id, rank)."""
    store, config = run.store, run.config
    folder = store.folder("staged", run.as_of, staged_key(night, config))
    path = folder / part_name(shard)
    if is_whole(path):
        return Part(pq.read_metadata(path).num_rows, reused=True, pairs=0)
    hand_back_freed_memory()  # of the shard before: the peak is that of one, not of a hundred
    with _LOADING:
        scorer = load_scorer(store.lake, night)
    history_path = history_paths(store, night.histories)[shard]
    users = read_histories([history_path], scorer.items.catalogue.item_ids, scorer.reading)
    owed = _owed(users.user_ids, history_path, run)
    lists = score_users(scorer, users.histories, owed, config, progress)
    ids = store.id_types() or IdTypes()
    frame = as_frame(
        lists,
        users.user_ids.gather(owed),
        scorer.items.catalogue.item_ids,
        as_of=run.as_of,
        model_version=scorer.model_version,
        ids=ids,
    )
    frame = name_sources(frame, night, scorer.without_vector)
    written = write_dataset(store, RANKINGS, frame, path, ids)
    return Part(written, reused=False, pairs=len(owed) * config.score.width)


def part_name(shard: int) -> str:
    """File name of a shard's part."""
    return f"part-{shard:05d}.parquet"


def _owed(user_ids: pl.Series, history_path: Path, run: Run) -> IntArray:
    """Users of a shard who get a list: all, or with `active_days` those with a row since.

    By the file: histories that are read by order alone know no dates.
    """
    days = run.config.score.active_days
    if not days:
        return np.arange(len(user_ids), dtype=np.int64)
    rows = pl.scan_parquet(history_path).filter(pl.col("occurred_at") >= run.cut - timedelta(days))
    recent = rows.select(pl.col("user_id").unique()).collect()["user_id"]
    return np.flatnonzero(user_ids.is_in(recent.implode()).to_numpy())


def score_users(
    scorer: Scorer,
    histories: Histories,
    owed: IntArray,
    config: Config,
    progress: Progress | None = None,
) -> UserLists:
    """The lists of the users `owed` (u,), in their order."""
    items, rules = scorer.items, config.rerank
    needed = RuleInputs(
        explorable=explorable(items, rules.explore_below) if rules.explore else None,
        newcomer=newcomer_logits(scorer.night, len(items.known)) if rules.coverage else None,
    )
    work = functools.partial(score_block, scorer, histories, config, needed)
    width = min(config.score.k, len(items.pool.rows))
    lists = empty_lists(len(owed), width, config.score.reasons)
    blocks = user_blocks(histories, owed, scorer.ranker.shape.length)
    for block, scored in in_order(work, blocks, workers_of_a_shard(config.runtime)):
        lists.put(np.searchsorted(owed, block.users), scored)
        if progress:
            progress(len(block.users))
    return lists


def score_block(
    scorer: Scorer,
    histories: Histories,
    config: Config,
    needed: RuleInputs,
    block: UserBlock,
) -> UserLists:
    """Retrieve, score, re-rank and explain for some users."""
    items, night, rules = scorer.items, scorer.night, config.rerank
    explored, newcomer = needed.explorable, needed.newcomer
    users = block_table(scorer.ranker, histories, block, items.table)
    count = len(block.users)
    found = find_candidates(users, count, items, config.score, rules, explorable=explored)
    logit = night.logit(users, found.rows)
    scores = night.activated(logit)
    worth = scores
    if newcomer is not None:
        worth = logit.numpy() - np.float32(rules.coverage) * newcomer[found.rows]
    order = by_score(worth, found.rows)
    shares = explored_shares(users.histories, explored, rules.explore)
    places, kept = rerank(
        order,
        found.rows,
        scorer.facts,
        rules,
        k=config.score.k,
        added=found.added,
        untouched=found.untouched,
        shares=shares,
    )
    chosen = np.take_along_axis(found.rows, places, 1)
    return UserLists(
        item=chosen.astype(np.int32),
        score=np.take_along_axis(scores, places, 1),
        source=_sources(found, places, chosen, explored=kept, users=users, known=items.known),
        reasons=night.reasons(users, chosen, most=config.score.reasons).astype(np.int32),
    )


def _sources(
    found: Candidates,
    places: IntArray,
    chosen: IntArray,
    *,
    explored: np.ndarray,
    users: UserTable,
    known: np.ndarray,
) -> np.ndarray:
    """(b, k) place in ALL_SOURCES of how each item got there; the last that applies wins."""
    code = {name: number for number, name in enumerate(ALL_SOURCES)}
    source = np.where(known[np.maximum(chosen, 0)], code[RANKER], code[RANKER_TEXT])
    source[users.histories.lengths == 0] = code[POPULAR]
    source[np.take_along_axis(found.filled, places, 1)] = code[POPULAR_FILL]
    source[explored] = code[EXPLORE]
    return source.astype(np.int8)


def commit_staged(run: Run, night: NightRefs) -> DatasetRef:
    """All parts are in place: write the manifest of the staged rankings."""
    store, key = run.store, staged_key(night, run.config)
    if found := store.reuse("staged", run.as_of, key):
        return found
    folder = store.folder("staged", run.as_of, key)
    names = [part_name(shard) for shard in range(run.config.score.shards)]
    staged = pl.scan_parquet([folder / name for name in names])
    rows, users = staged.select(pl.len(), pl.col("user_id").n_unique()).collect().row(0)
    if rows == 0:
        raise SourceError(
            f"no list for anybody as of {run.as_of}: each user has had every available item, or "
            "was not active lately; set [score] exclude_seen = false, or raise active_days"
        )
    by_source = staged.group_by("source").len().sort("source").collect()
    figures = {"users": users, "rows_by_source": dict(by_source.iter_rows())}
    figures[SIGNED] = sign(folder, names)
    figures[SEEN_UNTIL] = horizon_of(run.cut, *night.refs())
    return store.commit("staged", run.as_of, key, files=names, rows=rows, figures=figures)
