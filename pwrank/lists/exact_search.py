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

LONG, SAMPLED, MORE, LEAST, ROOM = 8, 8, 1.25, 8, 2
"""Rows from 8 times as long as what is wanted are sampled at every 8th score for a bound that a
quarter more should exceed, 8 of the sample at least; there is room for twice as many."""

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
    pool: Pool, queries: Tensor, excluded: tuple[Excluded, ...], found: IntArray
) -> None:
    """Into found (m, width), which holds -1: the best rows of each user, ascending.

    queries: (b, r) of a whole block, of whom the first m are answered. Products have a shape that
    depends on the pool alone, so no answer depends on other users.
    """
    size = len(queries)
    while size * len(pool.rows) > CELLS_AT_ONCE and size > FEWEST_USERS_AT_ONCE:
        size //= 2
    for start in range(0, len(found) if len(pool.rows) else 0, size):
        # Cloned: matrix products round by the alignment of their arguments too.
        scores = (queries[start : start + size].clone() @ pool.vectors.T).numpy()
        scores = scores[: len(found) - start]
        for each in excluded:
            _strike_out(scores, pool.place, each.offsets[start:], each.items)
        best = found[start : start + size]
        _keep_best(scores, _thresholds(scores, found.shape[1]), pool.rows, best)


def _thresholds(scores: FloatArray, width: int) -> FloatArray:
    """(b,) the width-th largest score of each row, or the smallest where there are fewer.

    In a long row a sample tells a bound that somewhat more than `width` scores exceed, and only
    those are looked at; where it errs, the whole row is.
    """
    if scores.shape[1] < LONG * width:
        return _largest(scores, width)
    number = int(MORE * width / SAMPLED) + LEAST
    bound = _largest(scores[:, ::SAMPLED], number)
    exceeding = np.full((len(scores), ROOM * number * SAMPLED), NOTHING, np.float32)
    count = np.empty(len(scores), np.int64)
    _collect(scores, bound, exceeding, count)
    thresholds = _largest(exceeding, width)
    for user in np.flatnonzero((count < width) | (count > exceeding.shape[1])):
        thresholds[user] = _largest(scores[user : user + 1], width)[0]
    return thresholds


def _largest(scores: FloatArray, number: int) -> FloatArray:
    """(b,) the number-th largest of each row, or the smallest."""
    last = max(scores.shape[1] - number, 0)
    return np.ascontiguousarray(np.partition(scores, last, axis=1)[:, last])


@compiled
def _collect(scores: FloatArray, bound: FloatArray, out: FloatArray, count: IntArray) -> None:
    """Scores (b, a) that reach the bound, as many as fit, and how many there are."""
    for user in range(len(scores)):
        found = 0
        for score in scores[user]:
            if score >= bound[user]:
                if found < out.shape[1]:
                    out[user, found] = score
                found += 1
        count[user] = found


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
def _keep_best(scores: FloatArray, threshold: FloatArray, rows: IntArray, found: IntArray) -> None:
    """Scores above the threshold, and as many equal to it as there is room for."""
    width = found.shape[1]
    for user in range(len(scores)):
        limit = threshold[user]
        above = 0
        for score in scores[user]:
            above += score > limit
        equal = width - above if limit > NOTHING else 0
        count = 0
        for place in range(scores.shape[1]):
            score = scores[user, place]
            if score >= limit:
                if score == limit:
                    equal -= 1
                    if equal < 0:
                        continue
                found[user, count] = rows[place]
                count += 1
