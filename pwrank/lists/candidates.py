"""Candidates of a batch of users: nearest by inner product, seen items out, never too few."""

from __future__ import annotations

import math
from dataclasses import dataclass

import faiss
import numpy as np

from pwrank.config import RerankConfig, ScoreConfig
from pwrank.lists.item_index import ItemIndex
from pwrank.lists.retrieval import search
from pwrank.ranker.history import FloatArray, Histories, IntArray

SMALLEST_MARGIN = 32
"""Users who have seen up to this many items are searched for together."""


@dataclass(frozen=True)
class Candidates:
    """Candidates of b users, at most c each."""

    rows: IntArray
    """(b, c) rows of the catalogue, -1 where a user has fewer."""
    filled: np.ndarray
    """(b, c) bool: not retrieved, but added because the list would have been short."""


def find_candidates(
    queries: FloatArray,
    histories: Histories,
    items: ItemIndex,
    config: ScoreConfig,
    rules: RerankConfig,
) -> Candidates:
    """The nearest items of each user (b, d), without those of the history if so configured.

    As many more are fetched as the user has seen, so that what is left is never short; users
    are searched for in groups of similar need. With the exploration dial up, the nearest of the
    rarely touched items are added, which else are seldom among the nearest of all.
    """
    width = min(max(config.candidates, config.k), items.index.ntotal)
    rows = np.full((len(queries), width), -1, np.int64)
    seen = _seen_keys(histories, items.catalogue.num_items) if config.exclude_seen else None
    margins = histories.lengths if config.exclude_seen else np.zeros(len(queries), np.int64)
    for group, margin in _groups(margins):
        _, found = search(items.index, queries[group], width + margin)
        keep = found >= 0
        if seen is not None:
            keys = group[:, None] * items.catalogue.num_items + found
            keep &= ~np.isin(keys, seen)
        order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
        kept = np.take_along_axis(keep, order, 1)
        picked = np.where(kept, np.take_along_axis(found, order, 1), -1)
        rows[group[:, None], np.arange(picked.shape[1])] = picked
    if rules.explore:
        slots = math.ceil(rules.explore * config.k)
        rare = items.rarely_touched(rules.explore_below)
        rows = _add_nearest(rows, queries, rare, items, seen=seen, slots=slots)
    filled = _fill(rows, histories, items, config)
    return Candidates(rows, filled)


def _add_nearest(
    rows: IntArray,
    queries: FloatArray,
    pool: IntArray,
    items: ItemIndex,
    *,
    seen: IntArray | None,
    slots: int,
) -> IntArray:
    """Add the nearest of a pool of catalogue rows (p,) that are neither seen nor there already.

    Looks at as many of the pool as there are slots and candidates: rows (b, c) -> (b, c + slots).
    """
    if len(pool) == 0:
        return rows
    vectors = np.ascontiguousarray(items.table.retrieval.numpy()[pool])
    depth = min(len(pool), slots + rows.shape[1])
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    _, nearest = faiss.knn(queries, vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)
    found = pool[nearest]
    keys = np.arange(len(rows))[:, None] * items.catalogue.num_items
    keep = ~np.isin(keys + found, (keys + rows)[rows >= 0])
    if seen is not None:
        keep &= ~np.isin(keys + found, seen)
    order = np.argsort(~keep, axis=1, kind="stable")[:, :slots]
    kept = np.take_along_axis(keep, order, 1)
    added = np.where(kept, np.take_along_axis(found, order, 1), -1)
    return np.concatenate([rows, added], axis=1)


def _groups(margins: IntArray) -> list[tuple[IntArray, int]]:
    """Users by the next power of two of how many more items they need."""
    need = np.maximum(margins, SMALLEST_MARGIN)
    powers = np.ceil(np.log2(need)).astype(np.int64)
    return [(np.flatnonzero(powers == power), int(2**power)) for power in np.unique(powers)]


def _seen_keys(histories: Histories, num_items: int) -> IntArray:
    """(user, item) of every known item of the histories as one number, ascending."""
    known = histories.item >= 0
    return np.unique(histories.user[known] * num_items + histories.item[known])


def _fill(
    rows: IntArray, histories: Histories, items: ItemIndex, config: ScoreConfig
) -> np.ndarray:
    """Add popular items, in place, where an approximate index gave fewer than the list needs."""
    filled = np.zeros(rows.shape, np.bool_)
    needed = min(config.k, rows.shape[1])
    for user in np.flatnonzero((rows >= 0).sum(axis=1) < needed):
        have = rows[user][rows[user] >= 0]
        taken = histories.select(np.array([user])).item if config.exclude_seen else have
        popular = items.by_popularity
        more = popular[~np.isin(popular, np.concatenate([have, taken]))][: needed - len(have)]
        places = slice(len(have), len(have) + len(more))
        rows[user, places] = more
        filled[user, places] = True
    return filled
