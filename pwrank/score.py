"""Score: the list of every user, one shard at a time, from histories to Parquet in memory.

Per batch of users: history -> user vector -> FAISS candidates -> point-wise score of each
candidate -> rules -> top k with reasons. Candidates are never written.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pwrank.config import Config
from pwrank.config_file import section_hash
from pwrank.datasets import RANKINGS, DatasetRef, IdTypes
from pwrank.errors import SourceError
from pwrank.lists.candidates import Candidates, find_candidates
from pwrank.lists.item_index import ItemIndex, read_item_index
from pwrank.lists.reranking import ItemFacts, by_score, rerank
from pwrank.lists.sources_of_ranks import (
    ALL_SOURCES,
    EXPLORE,
    POPULAR,
    POPULAR_FILL,
    RANKER,
    RANKER_TEXT,
)
from pwrank.published_refs import NightRefs
from pwrank.ranker.history import Histories, IntArray
from pwrank.ranker.model import Ranker
from pwrank.ranker.model_inputs import history_paths, read_histories
from pwrank.ranker.weights import read_ranker
from pwrank.run import Run
from pwrank.signatures import SIGNED, sign
from pwrank.store import Progress, fingerprint, write_dataset

SCORE_VERSION = 2
"""Raise when the same inputs would give other lists."""


def staged_key(night: NightRefs, config: Config) -> str:
    """Name of the staged rankings that these inputs give."""
    score = config.score.model_dump(mode="json", exclude={"batch_users"})
    keys = [ref.key for ref in night.refs()]
    return fingerprint("staged", SCORE_VERSION, keys, score, section_hash(config.rerank))


@dataclass(frozen=True)
class Part:
    """One staged part."""

    rows: int
    reused: bool


@dataclass(frozen=True)
class _Scorer:
    """Model and items, once a process: shards that run beside each other share them."""

    ranker: Ranker
    items: ItemIndex
    facts: ItemFacts
    events: tuple[str, ...]
    model_version: str


_LOADING = threading.Lock()


@functools.lru_cache(maxsize=1)
def _load_scorer(lake: Path, night: NightRefs) -> _Scorer:
    ranker = read_ranker(lake, night.model)
    items = read_item_index(
        lake, index=night.index, catalogue=night.catalogue, embeddings=night.embeddings
    )
    (path,) = night.catalogue.file_paths(lake)
    category = pl.read_parquet(path, columns=["category"])["category"].to_list()
    facts = ItemFacts(category, items.catalogue.text, items.interactions)
    events = tuple(night.model.figures["events"])
    return _Scorer(ranker, items, facts, events, night.model.figures["model_version"])


def score_shard(
    run: Run, night: NightRefs, *, shard: int, progress: Progress | None = None
) -> Part:
    """Write the staged part of one shard, unless it is there. Rows are sorted (user_id, rank)."""
    store, config = run.store, run.config
    folder = store.folder("staged", run.as_of, staged_key(night, config))
    path = folder / part_name(shard)
    if path.exists():
        return Part(pq.read_metadata(path).num_rows, reused=True)
    with _LOADING:
        scorer = _load_scorer(store.lake, night)
    history_path = history_paths(store, night.histories)[shard]
    users = read_histories([history_path], scorer.items.catalogue.item_ids, scorer.events)
    owed = _owed(users.histories, int(run.cut.timestamp()), config.score.active_days)
    ids = store.id_types() or IdTypes()
    frames = [RANKINGS.schema(ids).to_frame()]
    for start in range(0, len(owed), config.score.batch_users):
        rows = owed[start : start + config.score.batch_users]
        batch = score_batch(scorer, users.histories.select(rows), config)
        frames.append(
            _as_frame(batch, users.user_ids.gather(rows), scorer, as_of=run.as_of, ids=ids)
        )
        if progress:
            progress(len(rows))
    written = write_dataset(store, RANKINGS, pl.concat(frames), path, ids)
    return Part(written, reused=False)


def part_name(shard: int) -> str:
    """File name of a shard's part."""
    return f"part-{shard:05d}.parquet"


def _owed(histories: Histories, cut: int, active_days: int) -> IntArray:
    """Users who get a list: all, or with `active_days` those with an interaction since."""
    everyone = np.arange(histories.num_users, dtype=np.int64)
    if not active_days:
        return everyone
    recent = histories.keep(histories.timestamp >= cut - active_days * 86_400)
    return everyone[recent.lengths > 0]


@dataclass(frozen=True)
class ScoredBatch:
    """Lists of b users, at most k long."""

    item: IntArray
    """(b, k) rows of the catalogue, -1 behind the end of a list."""
    score: np.ndarray
    """(b, k) float32."""
    source: np.ndarray
    """(b, k) int8: place in ALL_SOURCES."""
    reasons: IntArray
    """(b, k, r) rows of the catalogue, -1 = none."""


def score_batch(scorer: _Scorer, histories: Histories, config: Config) -> ScoredBatch:
    """Retrieve, score, re-rank and explain for some users."""
    items, ranker = scorer.items, scorer.ranker
    users = ranker.user_table(histories, items.table)
    found = find_candidates(
        users.retrieval.float().numpy(), histories, items, config.score, config.rerank
    )
    rows = torch.from_numpy(np.maximum(found.rows, 0))
    scores = ranker.score(users, items.table, rows).probability.float().numpy()
    order = by_score(scores, found.rows)
    places, explored = rerank(order, found.rows, scorer.facts, config.rerank, k=config.score.k)
    chosen = np.take_along_axis(found.rows, places, 1)
    reasons = ranker.reasons(
        users, items.table, torch.from_numpy(np.maximum(chosen, 0)), most=config.score.reasons
    ).numpy()
    return ScoredBatch(
        item=chosen,
        score=np.take_along_axis(scores, places, 1),
        source=_sources(
            found, places, chosen, explored=explored, known=items.known, histories=histories
        ),
        reasons=reasons,
    )


def _sources(
    found: Candidates,
    places: IntArray,
    chosen: IntArray,
    *,
    explored: np.ndarray,
    known: np.ndarray,
    histories: Histories,
) -> np.ndarray:
    """(b, k) place in ALL_SOURCES of how each item got there; the last that applies wins."""
    code = {name: number for number, name in enumerate(ALL_SOURCES)}
    source = np.where(known[np.maximum(chosen, 0)], code[RANKER], code[RANKER_TEXT])
    nobody = histories.keep(histories.item >= 0).lengths == 0
    source[nobody] = code[POPULAR]
    source[np.take_along_axis(found.filled, places, 1)] = code[POPULAR_FILL]
    source[explored] = code[EXPLORE]
    return source.astype(np.int8)


def _as_frame(
    batch: ScoredBatch, user_ids: pl.Series, scorer: _Scorer, *, as_of: date, ids: IdTypes
) -> pl.DataFrame:
    """RANKINGS rows of a batch; users in the given order, ranks ascending."""
    listed = batch.item >= 0
    lengths = listed.sum(axis=1)
    item_ids = pl.Series(scorer.items.catalogue.item_ids, dtype=ids.item.dtype)
    ranks = np.arange(1, batch.item.shape[1] + 1, dtype=np.uint16)
    names = pl.Series(list(ALL_SOURCES))
    return pl.DataFrame(
        {
            "user_id": user_ids.gather(np.repeat(np.arange(len(lengths)), lengths)),
            "rank": np.broadcast_to(ranks, batch.item.shape)[listed],
            "item_id": item_ids.gather(batch.item[listed]),
            "score": batch.score[listed].astype(np.float32),
            "source": names.gather(batch.source[listed]),
            "reason_item_ids": _as_lists(batch.reasons[listed], item_ids),
        }
    ).select(
        "user_id",
        "rank",
        "item_id",
        "score",
        "source",
        "reason_item_ids",
        pl.lit(as_of).alias("as_of_date"),
        pl.lit(scorer.model_version).alias("model_version"),
    )


def _as_lists(rows: IntArray, item_ids: pl.Series) -> pl.Series:
    """(m, r) catalogue rows -> m lists of item ids, without the -1."""
    present = rows >= 0
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64)
    values = item_ids.gather(rows[present]).to_arrow()
    return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(offsets, values)))


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
    return store.commit("staged", run.as_of, key, files=names, rows=rows, figures=figures)
