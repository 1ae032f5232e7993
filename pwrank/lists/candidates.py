"""Candidates of a block of users: nearest by inner product, seen items out, never too few."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pwrank.config import RerankConfig, ScoreConfig
from pwrank.lists.cooccurring import COOCCURRING, find_cooccurring
from pwrank.lists.exact_search import Excluded, search_exactly
from pwrank.lists.exploration import Explorable, nearest_untouched, take_out
from pwrank.lists.item_index import ItemIndex
from pwrank.lists.retrieval import ApproximateIndex
from pwrank.ranker.history import IntArray
from pwrank.ranker.model import UserTable

SMALLEST_MARGIN = 32
"""Users who have seen up to this many items are searched for together."""

RARE = 50
"""Rarely touched items that the ranker chooses from: among fewer, retrieval alone decides."""


@dataclass(frozen=True)
class Candidates:
    """Candidates of b users, at most c each."""

    rows: IntArray
    """(b, c) rows of the catalogue, -1 where a user has fewer."""
    filled: np.ndarray
    """(b, c) bool: not retrieved, but added because the list would have been short."""
    added: int
    """So many of the last columns are there to be explored only."""
    untouched: int
    """So many of the last columns are items that nobody touched, most like the history first."""


def find_candidates(
    users: UserTable,
    count: int,
    items: ItemIndex,
    config: ScoreConfig,
    rules: RerankConfig,
    *,
    explorable: Explorable | None = None,
) -> Candidates:
    """The nearest items of the first `count` of b users, without those of the history if so told.

    Beside them are some that the history speaks for most. With the exploration dial up, the nearest
    of the rare items are added, which else are seldom among the nearest of all, and behind them the
    untouched ones that read like the history.
    """
    width = min(config.width, len(items.pool.rows))
    seen = Excluded(users.histories.offsets, users.histories.item)
    excluded = (seen,) if config.exclude_seen else ()
    rows = np.full((len(users.retrieval), width), -1, np.int64)
    slots = math.ceil(rules.explore * config.k) if explorable else 0
    rare = np.full((len(rows), max(slots, RARE) if slots else 0), -1, np.int64)
    untouched = np.full((len(rows), slots), -1, np.int64)
    left = (explorable.rare, rare[:count]) if explorable else None
    if items.approximate is None:
        search_exactly(items.pool, users.retrieval, excluded, rows[:count], left)
    else:
        _search_approximately(items.approximate, users.retrieval, excluded, rows[:count])
        if left:
            there = Excluded(np.arange(len(rows) + 1, dtype=np.int64) * width, rows.ravel())
            search_exactly(left[0], users.retrieval, (*excluded, there), left[1])
    together = _cooccurring(users, items, rows, count, excluded)
    take_out(rare[:count], together[:count])
    rows = np.concatenate([rows, together, rare], axis=1)
    filled = np.zeros(rows.shape, np.bool_)
    _fill(rows[:count], filled[:count], seen, items, config)
    if explorable:
        new = untouched[:count]
        nearest_untouched(explorable.untouched, users, items.table, excluded, new)
        take_out(rows[:count], new)
    rows = np.concatenate([rows, untouched], axis=1)
    filled = np.concatenate([filled, np.zeros(untouched.shape, np.bool_)], axis=1)
    return Candidates(rows, filled, rare.shape[1] + slots, slots)


def _cooccurring(
    users: UserTable, items: ItemIndex, rows: IntArray, count: int, excluded: tuple[Excluded, ...]
) -> IntArray:
    """(b, c) items that the histories of the first `count` users speak for, none of `rows`."""
    left = len(items.pool.rows) - rows.shape[1]
    together = np.full((len(rows), min(COOCCURRING, left)), -1, np.int64)
    weights, histories = items.table.cooccurrence, users.histories
    nobody = Excluded(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int64))
    barred = excluded[0] if excluded else nobody
    find_cooccurring(
        histories.offsets,
        histories.item,
        weights.offsets,
        weights.item,
        weights.weight,
        items.pool.place,
        barred.offsets,
        barred.items,
        rows,
        together[:count],
    )
    return together


def _search_approximately(
    index: ApproximateIndex,
    queries: Tensor,
    excluded: tuple[Excluded, ...],
    found: IntArray,
) -> None:
    """Into found (m, width): rows of the first m users, ascending, -1 behind them.

    As many more are fetched as the user has seen, so that what is left is never short; users are
    searched for in groups of similar need.
    """
    users, width = found.shape
    need = np.sum([np.diff(each.offsets) for each in excluded], axis=0, dtype=np.int64)
    for group, margin in _groups(np.broadcast_to(need, len(queries))[:users]):
        for user, rows in zip(group, index.search(queries, group, width + margin), strict=True):
            for each in excluded:
                own = each.items[each.offsets[user] : each.offsets[user + 1]]
                rows = rows[~np.isin(rows, own)]  # noqa: PLW2901 - less and less of it
            best = np.sort(rows[rows >= 0][:width])
            found[user, : len(best)] = best


def _groups(margins: IntArray) -> list[tuple[IntArray, int]]:
    """Users by the next power of two of how many more items they need."""
    need = np.maximum(margins, SMALLEST_MARGIN)
    powers = np.ceil(np.log2(need)).astype(np.int64)
    return [(np.flatnonzero(powers == power), int(2**power)) for power in np.unique(powers)]


def _fill(
    rows: IntArray, filled: np.ndarray, seen: Excluded, items: ItemIndex, config: ScoreConfig
) -> None:
    """Add popular items, in place, where an approximate index gave fewer than the list needs."""
    needed = min(config.k, rows.shape[1])
    for user in np.flatnonzero((rows >= 0).sum(axis=1) < needed):
        have = rows[user][rows[user] >= 0]
        taken = seen.items[seen.offsets[user] : seen.offsets[user + 1]]
        taken = np.concatenate([have, taken]) if config.exclude_seen else have
        more = items.by_popularity[~np.isin(items.by_popularity, taken)][: needed - len(have)]
        free = np.flatnonzero(rows[user] < 0)[: len(more)]
        rows[user, free] = more
        filled[user, free] = True
