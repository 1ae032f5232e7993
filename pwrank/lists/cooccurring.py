"""Candidates by co-occurrence: what the items of a history speak for most, beside the nearest.

An inner product finds what lies near a user's taste; where a log has no order or an item few
interactions, that misses what is known to be taken together. The point-wise ranker has learned
from such candidates too: see `proposals.propose`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import FloatArray, IntArray

COOCCURRING = 50
"""Candidates of a user that are found so; more of them found nothing more (CHANGELOG)."""

LAST_ROW = np.int64(2**31 - 1)
"""Rows are counted from here backwards in a key, so that of equal totals the first row wins."""


@compiled
def find_cooccurring(  # noqa: PLR0913, PLR0917 - numba takes arguments by position
    history_offsets: IntArray,
    history: IntArray,
    offsets: IntArray,
    spoken_for: IntArray,
    weight: FloatArray,
    place: npt.NDArray[np.int32],
    barred_offsets: IntArray,
    barred: IntArray,
    rows: IntArray,
    out: IntArray,
) -> None:
    """Into out (m, w) the items with the largest sums of weights, ascending, -1 behind them.

    User u had the items history[history_offsets[u]:history_offsets[u + 1]]; item i has the weights
    offsets[i]:offsets[i + 1] of `Cooccurrence`. Left out: rows (m, c), what is barred[u] in the
    same form, items whose `place` (n,) is negative, sums that are not positive. Of equal sums the
    first rows win.
    """
    if out.shape[1] == 0:
        return
    items = len(offsets) - 1
    total, met = np.zeros(items, np.float32), np.full(items, -1, np.int64)
    left_out = np.full(items, -1, np.int64)
    keys = np.empty(4 * out.shape[1], np.int64)
    for user in range(len(out)):
        mine = history[history_offsets[user] : history_offsets[user + 1]]
        for item in mine:
            if met[item] != user:
                met[item] = user
                for k in range(offsets[item], offsets[item + 1]):
                    total[spoken_for[k]] += weight[k]
        _stamp(left_out, barred[barred_offsets[user] : barred_offsets[user + 1]], user)
        _stamp(left_out, rows[user], user)
        out[user] = -1
        _choose(mine, offsets, spoken_for, total, left_out, user, place, keys, out[user])


@compiled
def _stamp(stamps: IntArray, rows: IntArray, user: int) -> None:
    for row in rows:
        if row >= 0:
            stamps[row] = user


@compiled
def _choose(  # noqa: PLR0913, PLR0917 - as above
    mine: IntArray,
    offsets: IntArray,
    spoken_for: IntArray,
    total: FloatArray,
    left_out: IntArray,
    user: int,
    place: npt.NDArray[np.int32],
    keys: IntArray,
    out: IntArray,
) -> None:
    """The largest of the positive totals, ascending; all totals are 0 afterwards.

    Not of items without a place, nor of those left out, which bear the user's number. A key is the
    bits of a total, which are in order as positive numbers are, before the row from behind. Only
    what beats the best so far is kept, so that few are compared with each other.
    """
    bits, wide = total.view(np.int32), len(out)
    kept, bound = 0, LAST_ROW
    for item in mine:
        for k in range(offsets[item], offsets[item + 1]):
            other = spoken_for[k]
            key = (np.int64(bits[other]) << 32) | (LAST_ROW - other)
            bits[other] = 0
            if key > bound and left_out[other] != user and place[other] >= 0:
                keys[kept] = key
                kept += 1
                if kept == len(keys):
                    kept, bound = _keep(keys, kept, wide)
    if kept > wide:
        kept, bound = _keep(keys, kept, wide)
    out[:kept] = np.sort(LAST_ROW - (keys[:kept] & LAST_ROW))


@compiled
def _keep(keys: IntArray, kept: int, wide: int) -> tuple[int, np.int64]:
    """The largest `wide` of the first `kept` keys come first; and the smallest of these."""
    largest = np.partition(keys[:kept], kept - wide)[kept - wide :]
    keys[:wide] = largest
    return wide, np.int64(largest[0])
