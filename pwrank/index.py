"""Index: item vectors with the popularity of the moment, and the FAISS index over them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from pwrank.config import Config, IndexConfig
from pwrank.config_file import section_hash
from pwrank.datasets import DatasetRef
from pwrank.errors import first_line
from pwrank.horizon import SEEN_UNTIL, horizon_of
from pwrank.lists.exact_search import Pool, make_pool
from pwrank.lists.item_index import with_unknown_item, write_item_index
from pwrank.lists.retrieval import (
    ApproximateIndex,
    RecallCertificate,
    build_index,
    is_approximate,
)
from pwrank.published_refs import DEGRADED
from pwrank.ranker.history import FloatArray, Histories
from pwrank.ranker.model import ItemTable, Ranker
from pwrank.ranker.model_inputs import Reading, history_paths, read_catalogue, read_histories
from pwrank.ranker.popularity import item_activity
from pwrank.ranker.weights import read_ranker
from pwrank.run import Run
from pwrank.signatures import SIGNED, is_intact, sign
from pwrank.store import fingerprint

INDEX_VERSION = 6
"""Raise when the same inputs would give another index."""


def sample_queries(ranker: Ranker, table: ItemTable, log: Histories, users: int) -> FloatArray:
    """User vectors (q, r) of the first `users` users with a history, for the certificate."""
    with_history = np.flatnonzero(log.lengths > 0)[:users].astype(np.int64)
    if len(with_history) == 0:
        return np.zeros((0, table.retrieval.shape[1]), np.float32)
    vectors = ranker.user_table(log.select(with_history), table).retrieval
    queries: FloatArray = vectors.float().cpu().numpy()
    return queries


def index_key(config: Config, *inputs: DatasetRef) -> str:
    """Name of the index of histories, catalogue, embeddings and model."""
    return fingerprint(
        "index",
        INDEX_VERSION,
        [ref.key for ref in inputs],
        section_hash(config.index),
        config.score.candidates,
    )


def _build(
    pool: Pool, queries: FloatArray, config: IndexConfig, *, k: int
) -> tuple[ApproximateIndex | None, RecallCertificate, str]:
    """Index, certificate, and why there is none where one was wanted."""
    try:
        return *build_index(pool, queries, config, k=k), ""
    except (RuntimeError, MemoryError) as error:
        exact = config.model_copy(update={"kind": "exact"})
        told = f"exact search, the approximate index could not be built: {first_line(error)}"
        return *build_index(pool, queries, exact, k=k), told


def index(
    run: Run,
    *,
    histories: DatasetRef,
    catalogue: DatasetRef,
    embeddings: DatasetRef,
    model: DatasetRef,
) -> DatasetRef:
    """Write the item table and the index of a date. Figures: the recall certificate."""
    store, config = run.store, run.config
    key = index_key(config, histories, catalogue, embeddings, model)
    found = store.reuse("index", run.as_of, key)
    if found and is_intact(store.lake, found):
        return found
    listed = read_catalogue(store, catalogue, embeddings)
    items = with_unknown_item(listed)
    ranker = read_ranker(store.lake, model)
    paths = history_paths(store, histories)
    log = read_histories(paths, listed.item_ids, Reading.of(model)).histories
    activity = item_activity(log, items.num_items)
    table = ranker.item_table(items, activity.features(activity.moment(int(run.cut.timestamp()))))
    offered = np.flatnonzero(items.available).astype(np.int64)
    k = min(config.score.candidates, max(1, len(offered)))
    pool = make_pool(table.retrieval.cpu(), offered)
    asked = config.index.sample_users if is_approximate(pool, config.index) else 0
    queries = sample_queries(ranker, table, log, asked)
    built, certificate, degraded = _build(pool, queries, config.index, k=k)
    if degraded:
        key = fingerprint(key, DEGRADED)
    counts = np.bincount(log.item[log.item >= 0], minlength=items.num_items).astype(np.int64)
    known = ranker.item_inputs(items).identity.cpu().numpy() > 0
    folder = store.folder("index", run.as_of, key)
    files = write_item_index(
        folder, table, built, interactions=counts[:-1], known=known[:-1], certificate=certificate
    )
    figures: dict[str, Any] = {"items": listed.num_items, "known_by_text": int((~known[:-1]).sum())}
    figures |= asdict(certificate) | {SIGNED: sign(folder, files)}
    figures |= {DEGRADED: degraded} if degraded else {}
    figures[SEEN_UNTIL] = horizon_of(run.cut, histories, catalogue, embeddings, model)
    return store.commit("index", run.as_of, key, files=files, rows=len(offered), figures=figures)
