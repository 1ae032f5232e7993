"""The items with the largest inner products, found exactly, without those that a user may not get.

A matrix product over all items beats every approximate index up to some 100,000 items. Excluded
items are struck out before the best are picked, so nobody is ever short, and of equal items the
first in the catalogue wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import FloatArray, IntArray

CELLS_AT_ONCE = 4_194_304
"""Inner products that are held at once, where a block of users is not too many."""

FEWEST_USERS_AT_ONCE = 8

LONG, SAMPLED, MORE, LEAST, ROOM = 8, 16, 1.25, 8, 2
"""Rows from 8 times as long as what is wanted are sampled at every 16th score for a bound that a
quarter more should exceed, 8 of the sample at least; there is room for twice as many."""

LANES = 16
"""Scores that are compared at once; which of them exceed is one number, read bit by bit."""

BIT = np.zeros(37, np.int8)
BIT[2 ** np.arange(LANES) % 37] = np.arange(LANES)
"""Place of the only bit of a number, by its remainder: 37 has another for each."""

NOTHING = np.float32(-np.inf)


@dataclass(frozen=True)
class Pool:
    """Some items of a catalogue, ready to be searched."""

    rows: IntArray
    """(a,) rows of the catalogue, ascending."""
    vectors: Tensor
    """(a, r) float32."""
    place: npt.NDArray[np.int32]
    """(n,) where each row of the catalogue stands in the pool, -1 = it does not."""


@dataclass(frozen=True)
class Excluded:
    """Rows of the catalogue that users may not get: items[offsets[u]:offsets[u + 1]], -1 = none."""

    offsets: IntArray
    items: IntArray


def make_pool(vectors: Tensor, rows: IntArray) -> Pool:
    """A pool of ascending rows of the catalogue; vectors: (n, r) of all of it."""
    place = np.full(len(vectors), -1, np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    whole = len(rows) and rows[-1] + 1 == len(rows)
    return Pool(rows, vectors[: len(rows)] if whole else vectors[torch.from_numpy(rows)], place)


def search_exactly(
    pool: Pool,
    queries: Tensor,
    excluded: tuple[Excluded, ...],
    found: IntArray,
    left: tuple[Pool, IntArray] | None = None,
) -> None:
    """Into found (m, width), which holds -1: the best rows of each user, ascending.

    queries: (b, r) of a whole block, of whom the first m are answered. Products have a shape that
    depends on the pool alone, so no answer depends on other users. left: a part of the pool, and
    where to put the best of it, (m, w) of -1, that were not found.
    """
    size = len(queries)
    while size * len(pool.rows) > CELLS_AT_ONCE and size > FEWEST_USERS_AT_ONCE:
        size //= 2
    part = pool.place[left[0].rows] if left else np.zeros(0, np.int32)
    for start in range(0, len(found) if len(pool.rows) else 0, size):
        # Cloned: matrix products round by the alignment of their arguments too.
        scores = (queries[start : start + size].clone() @ pool.vectors.T).numpy()
        scores = scores[: len(found) - start]
        for each in excluded:
            _strike_out(scores, pool.place, each.offsets[start:], each.items)
        best = found[start : start + size]
        _pick(scores, pool.rows, best)
        if left and len(part):
            there = np.arange(len(best) + 1, dtype=np.int64) * best.shape[1]
            _strike_out(scores, pool.place, there, best.ravel())
            _pick(scores[:, part], left[0].rows, left[1][start : start + size])


def _pick(scores: FloatArray, rows: IntArray, found: IntArray, *, sampled: bool = True) -> None:
    """Into found (m, width): the rows (a,) with the largest scores (m, a), ascending.

    In a long row a sample tells a bound that somewhat more than `width` scores exceed, and only
    those are looked at; where it errs, the whole row is.
    """
    (users, size), width = scores.shape, found.shape[1]
    sampled = sampled and size >= LONG * width
    number = int(MORE * width / SAMPLED) + LEAST
    bound = _largest(scores[:, ::SAMPLED], number) if sampled else np.full(users, NOTHING)
    places = np.empty((users, ROOM * number * SAMPLED if sampled else size + LANES), np.int32)
    count = np.empty(users, np.int64)
    _collect(scores, bound, places, count)
    if sampled and len(missed := np.flatnonzero((count < width) | (count > places.shape[1]))):
        again = np.full((len(missed), width), -1, np.int64)
        _pick(scores[missed], rows, again, sampled=False)
        found[missed], count[missed] = again, 0
    values = np.empty((users, max(int(count.max(initial=0)), width)), np.float32)
    _read(scores, places, count, values)
    _keep_best(values, places, count, _largest(values, width), rows, found)


def _largest(scores: FloatArray, number: int) -> FloatArray:
    """(b,) the number-th largest of each row, or the smallest."""
    last = max(scores.shape[1] - number, 0)
    return np.ascontiguousarray(np.partition(scores, last, axis=1)[:, last])


@compiled
def _collect(
    scores: FloatArray, bound: FloatArray, places: npt.NDArray[np.int32], count: IntArray
) -> None:
    """Where scores (b, a) reach the bound, and how often; more than `places` holds: too often."""
    size, room = scores.shape[1], places.shape[1]
    whole = size // LANES * LANES
    for user in range(len(scores)):
        row, mine, limit, found = scores[user], places[user], bound[user], 0
        for start in range(0, whole, LANES):
            if found + LANES > room:
                break
            reached = np.int32(0)
            for k in range(LANES):
                reached |= np.int32(row[start + k] >= limit) << k
            while reached:
                mine[found] = start + BIT[(reached & -reached) % len(BIT)]
                found += 1
                reached &= reached - 1
        if found + LANES > room:
            count[user] = room + 1
            continue
        for place in range(whole, size):
            if row[place] >= limit:
                mine[found] = place
                found += 1
        count[user] = found


@compiled
def _read(
    scores: FloatArray, places: npt.NDArray[np.int32], count: IntArray, values: FloatArray
) -> None:
    """The scores at so many places of each user, and nothing behind them."""
    for user in range(len(scores)):
        for k in range(values.shape[1]):
            values[user, k] = scores[user, places[user, k]] if k < count[user] else NOTHING


@compiled
def _strike_out(
    scores: FloatArray, place: npt.NDArray[np.int32], offsets: IntArray, items: IntArray
) -> None:
    for user in range(len(scores)):
        for k in range(offsets[user], offsets[user + 1]):
            at = place[items[k]] if items[k] >= 0 else -1
            if at >= 0:
                scores[user, at] = NOTHING


@compiled
def _keep_best(  # noqa: PLR0917 - compiled
    values: FloatArray,
    places: npt.NDArray[np.int32],
    count: IntArray,
    threshold: FloatArray,
    rows: IntArray,
    found: IntArray,
) -> None:
    """Values above the threshold, and as many equal to it as there is room for."""
    width = found.shape[1]
    for user in range(len(values)):
        limit = threshold[user]
        above = 0
        for k in range(count[user]):
            above += values[user, k] > limit
        equal = width - above if limit > NOTHING else 0
        at = 0
        for k in range(count[user]):
            if values[user, k] < limit or (values[user, k] == limit and equal <= 0):
                continue
            equal -= values[user, k] == limit
            found[user, at] = rows[places[user, k]]
            at += 1
