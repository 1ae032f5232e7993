"""Which items of a history speak most for the items of a list, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import FloatArray, IntArray

ZERO = np.float32(0.0)
BITS, NOTHING = 0x7FFFFFFF, np.iinfo(np.int64).min


def find_reasons(
    unit: FloatArray, offsets: IntArray, history: IntArray, rows: IntArray, out: IntArray
) -> None:
    """out (b, c, r): the history items nearest to each row (b, c) by unit (n, d), -1 = none.

    User u has the items history[offsets[u]:offsets[u + 1]], each once; of equal ones the first.
    """
    longest = int(np.diff(offsets).max(initial=0))
    speech = np.empty((len(rows), longest, rows.shape[1]), np.float32)
    _speak(unit, offsets, history, rows, speech)
    _keep_nearest(speech.view(np.int32), offsets, history, rows, out)


@compiled
def _speak(
    unit: FloatArray, offsets: IntArray, history: IntArray, rows: IntArray, speech: FloatArray
) -> None:
    """speech[u, i, j]: inner product of history item i and row j; four rows at once."""
    width, last = unit.shape[1], rows.shape[1] - 1
    for user in range(len(rows)):
        past = unit[history[offsets[user] : offsets[user + 1]]]
        for first in range(0, last + 1, 4):
            second, third, fourth = min(first + 1, last), min(first + 2, last), min(first + 3, last)
            one, two = unit[max(rows[user, first], 0)], unit[max(rows[user, second], 0)]
            three, four = unit[max(rows[user, third], 0)], unit[max(rows[user, fourth], 0)]
            for number in range(len(past)):
                item, said = past[number], speech[user, number]
                a, b, c, d = ZERO, ZERO, ZERO, ZERO
                for k in range(width):
                    a += item[k] * one[k]
                    b += item[k] * two[k]
                    c += item[k] * three[k]
                    d += item[k] * four[k]
                # Plus zero, so that no zero is negative: it would be less than the other one.
                said[first], said[second] = a + ZERO, b + ZERO
                said[third], said[fourth] = c + ZERO, d + ZERO


@compiled
def _keep_nearest(
    speech: npt.NDArray[np.int32],
    offsets: IntArray,
    history: IntArray,
    rows: IntArray,
    out: IntArray,
) -> None:
    """Sorted insertion for all rows of a user at once, without a branch: largest keys first.

    A key has the bits of a float, turned so that they sort as integers, before the place in the
    history, turned so that the first is the largest.
    """
    size, most = rows.shape[1], out.shape[2]
    best, carried = np.empty((most, size), np.int64), np.empty(size, np.int64)
    for user in range(len(rows)):
        items = history[offsets[user] : offsets[user + 1]]
        best[:] = NOTHING
        for number in range(len(items)):
            said = speech[user, number]
            for k in range(size):
                turned = said[k] ^ ((said[k] >> 31) & np.int32(BITS))
                carried[k] = (np.int64(turned) << 32) | (BITS - number)
            for rank in range(most):
                held = best[rank]
                for k in range(size):
                    mine, other = held[k], carried[k]
                    held[k], carried[k] = max(mine, other), min(mine, other)
        for k in range(size):
            for rank in range(most):
                key = best[rank, k] if rows[user, k] >= 0 else NOTHING
                out[user, k, rank] = items[BITS - (key & BITS)] if key != NOTHING else -1
