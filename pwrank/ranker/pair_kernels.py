"""The arithmetic of many (user, item) pairs, compiled: what the night's scorer is made of.

b users with c candidates each; `rows` (b, c) int64 are rows of the catalogue, -1 = none, for which
anything finite may come out. Features are (b, p + 1, c): those of one kind lie beside each other.
Every array is C-contiguous, numbers are float32 unless they say otherwise.
"""

# The loops read like the formulas they are; numba takes their arguments by position.
# ruff: noqa: PLR0913, PLR0917

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled, prefetch
from pwrank.ranker.history import FloatArray, IntArray

HALF, ONE, ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
LANES = 16
SAID = 4
"""Numbers kept for an item that a history speaks for: three, so that none crosses a line."""
STRIP, AHEAD = 32, 8
"""So many candidates' hidden units are held at once; rows are asked for so many places ahead."""

LN_2, ROOT_HALF_BITS = np.float32(math.log(2)), np.int32(0x3F3504F3)

# log(1 + m) = m - m^2 / 2 + m^3 L(m) on sqrt(1/2) - 1 <= m <= sqrt(2) - 1, within a rounding
# (Cephes).
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (
    np.float32(value)
    for value in (
        3.3333331174e-1,
        -2.4999993993e-1,
        2.0000714765e-1,
        -1.6668057665e-1,
        1.4249322787e-1,
        -1.2420140846e-1,
        1.1676998740e-1,
        -1.1514610310e-1,
        7.0376836292e-2,
    )
)

# GELU(x) = x / 2 + E(x) with an even E(x) = x^2 G(2 x^2 / 25 - 1) on |x| <= 5, |x| / 2 beyond:
# within 1.5e-6, without a division (minimax by linear programming).
FAR_SQUARED, PER_FAR_SQUARED = np.float32(25), np.float32(2 / 25)
G0, G1, G2, G3, G4, G5, G6, G7, G8, G9, G10, G11, G12 = (
    np.float32(value)
    for value in (
        0.141363785,
        -0.0702966526,
        0.0515214205,
        -0.0404329523,
        0.0314262286,
        -0.0233367216,
        0.0164976697,
        -0.0109732533,
        0.00616539782,
        -0.00291564688,
        0.00200189021,
        -0.00151416659,
        0.000492961495,
    )
)


@compiled
def add_weights(
    history_offsets: IntArray,
    history: IntArray,
    newest: IntArray,
    offsets: IntArray,
    spoken_for: npt.NDArray[np.int32],
    weights: FloatArray,
    rows: IntArray,
    columns: IntArray,
    out: FloatArray,
) -> None:
    """What the `newest[j]` (0: all) items of a history say for each candidate, in columns[j].

    weights (k, 2): weight and walk. The last two of `columns` get the largest weight of all, and
    the sum of walks. User u had the items history[history_offsets[u]:history_offsets[u + 1]], of
    which each counts once; item i has the weights offsets[i]:offsets[i + 1]. Read from the newest
    backwards.
    """
    items = len(offsets) - 1
    # Sum, largest and walks lie beside each other: one line of the cache for all.
    said, met = np.zeros((items, SAID), np.float32), np.full(items, -1, np.int64)
    flat = weights.reshape(-1)
    for user in range(len(rows)):
        start, end, added = history_offsets[user], history_offsets[user + 1], 0
        for at in range(end - 1, start - 1, -1):
            item, soon = history[at], history[max(at - 2, 0)]
            for k in range(offsets[soon], offsets[soon + 1], LANES):
                prefetch(flat, 2 * k)
                prefetch(flat, 2 * k + LANES)
                prefetch(spoken_for, k)
            if met[item] != user:
                met[item] = user
                added += offsets[item + 1] - offsets[item]
                for k in range(offsets[item], offsets[item + 1]):
                    into = said[spoken_for[k]]
                    into[0] += weights[k, 0]
                    into[1] = max(into[1], weights[k, 0])
                    into[2] += weights[k, 1]
            for j in range(len(newest)):
                if newest[j] == end - at or (at == start and newest[j] > end - at):
                    _look_up(said, 0, rows[user], out[user, columns[j]])
        for j in range(len(newest)):
            if newest[j] == 0 or start == end:
                _look_up(said, 0, rows[user], out[user, columns[j]])
        _look_up(said, 1, rows[user], out[user, columns[len(newest)]])
        _look_up(said, 2, rows[user], out[user, columns[len(newest) + 1]])
        few = added < items // LANES  # else all of it is zeroed sooner, so many at once
        _clear(said, history[start:end] if few else history[:0], offsets, spoken_for)


@compiled
def _clear(
    said: FloatArray, history: IntArray, offsets: IntArray, spoken_for: npt.NDArray[np.int32]
) -> None:
    """Zero again: all of it without a history, else what its items speak for."""
    if len(history) == 0:
        said[:] = ZERO
    for item in history:
        for k in range(offsets[item], offsets[item + 1]):
            said[spoken_for[k]] = ZERO


@compiled
def _look_up(said: FloatArray, which: int, rows: IntArray, out: FloatArray) -> None:
    for place in range(len(rows)):
        out[place] = said[max(rows[place], 0), which]


@compiled
def add_logarithms(
    features: FloatArray, columns: IntArray, into: IntArray, smallest: np.float32
) -> None:
    """Column into[j] = log(max(column columns[j], 0) + smallest)."""
    size = features.shape[2]
    value, mantissa = np.empty(size, np.float32), np.empty(size, np.int32)
    bits, rest = value.view(np.int32), mantissa.view(np.float32)
    for user in range(len(features)):
        for j in range(len(columns)):
            column, out = features[user, columns[j]], features[user, into[j]]
            for k in range(size):
                value[k] = max(column[k], ZERO) + smallest
            for k in range(size):
                power = (bits[k] - ROOT_HALF_BITS) >> 23
                mantissa[k] = bits[k] - (power << 23)
                bits[k] = power
            for k in range(size):
                m = rest[k] - ONE
                p = ((((L8 * m + L7) * m + L6) * m + L5) * m + L4) * m + L3
                p = ((p * m + L2) * m + L1) * m + L0
                out[k] = np.float32(bits[k]) * LN_2 + (m - HALF * m * m + m * m * m * p)


@compiled
def add_own_places(
    offsets: IntArray, history: IntArray, rows: IntArray, columns: IntArray, out: FloatArray
) -> None:
    """How often the user has had each candidate, log(1 + n), and 1 / its newest place from the end.

    User u had the items history[offsets[u]:offsets[u + 1]], oldest first.
    """
    items = max(rows.max(), history.max() if len(history) else -1) + 1
    count, newest = np.zeros(items, np.float32), np.zeros(items, np.float32)
    for user in range(len(rows)):
        start, end = offsets[user], offsets[user + 1]
        for k in range(start, end):
            count[history[k]] += ONE
            newest[history[k]] = ONE / np.float32(end - k)
        often, lately = out[user, columns[0]], out[user, columns[1]]
        for place in range(rows.shape[1]):
            row = max(rows[user, place], 0)
            often[place] = np.log1p(count[row]) if count[row] > ZERO else ZERO
            lately[place] = newest[row]
        for k in range(start, end):
            count[history[k]] = ZERO
            newest[history[k]] = ZERO


@compiled
def score_pairs(
    features: FloatArray,
    rows: IntArray,
    center: FloatArray,
    scale: FloatArray,
    limit: np.float32,
    item_score: FloatArray,
    user_score: FloatArray,
    linear: FloatArray,
    out: FloatArray,
) -> None:
    """out (b, c): the linear part of the score. The p features become standardised in place.

    Column p is part of the score already, as are item_score (n,) and user_score (b,).
    """
    for user in range(len(rows)):
        mine, score = features[user], out[user]
        for place in range(rows.shape[1]):
            score[place] = item_score[max(rows[user, place], 0)] + user_score[user]
            score[place] += mine[len(center), place]
        for j in range(len(center)):
            column, middle, factor, weight = mine[j], center[j], scale[j], linear[j]
            for place in range(len(column)):
                value = min(max((column[place] - middle) * factor, -limit), limit)
                column[place] = value
                score[place] += value * weight


@compiled
def add_perceptron(
    features: FloatArray,
    known: tuple[np.float32, ...],
    rows: IntArray,
    item_hidden: FloatArray,
    user_hidden: FloatArray,
    weights: FloatArray,
    readout: tuple[np.float32, ...],
    out: FloatArray,
) -> None:
    """Adds to out (b, c) the even part E of each hidden unit, weighted by readout (h,).

    weights (p, h): of the hidden layer, to which item_hidden (n, h) and user_hidden (b, h) belong.
    known: as long as there are features; lengths are constant once compiled, as they are of tuples.
    """
    width, size = len(readout), rows.shape[1]
    values, factor = np.empty(len(known), np.float32), np.array(readout)
    room = np.empty((STRIP + 1) * width + LANES, np.float32)
    start = -(room.ctypes.data // 4) % LANES
    hidden = room[start : start + STRIP * width].reshape(STRIP, width)
    for user in range(len(rows)):
        mine, own, score = features[user], user_hidden[user], out[user]
        for first in range(0, size, STRIP):
            count = min(STRIP, size - first)
            for at in range(count):
                place = first + at
                soon = item_hidden[max(rows[user, min(place + AHEAD, size - 1)], 0)]
                for h in range(0, width, LANES):
                    prefetch(soon, h)
                item, units = item_hidden[max(rows[user, place], 0)], hidden[at]
                for j in range(len(known)):
                    values[j] = mine[j, place]
                for h in range(width):
                    unit = item[h] + own[h]
                    for j in range(len(known)):
                        unit += values[j] * weights[j, h]
                    units[h] = unit
            for at in range(count):
                total = ZERO
                for h in range(width):
                    square = hidden[at, h] * hidden[at, h]
                    x = square * PER_FAR_SQUARED - ONE
                    p = (((((G12 * x + G11) * x + G10) * x + G9) * x + G8) * x + G7) * x + G6
                    p = (((((p * x + G5) * x + G4) * x + G3) * x + G2) * x + G1) * x + G0
                    far = HALF * abs(hidden[at, h])
                    total += (square * p if square <= FAR_SQUARED else far) * factor[h]
                score[first + at] += total
