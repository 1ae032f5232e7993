"""The arithmetic of many (user, item) pairs, compiled: what the night's scorer is made of.

b users with c candidates each; `rows` (b, c) int64 are rows of the catalogue, -1 = none. Every
array is C-contiguous, numbers are float32 unless they say otherwise.
"""

# The loops read like the formulas they are; numba takes their arguments by position.
# ruff: noqa: PLR0913, PLR0917

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import FloatArray, IntArray

HALF, ONE, ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
ROOT_HALF = np.float32(math.sqrt(0.5))

# erf(x) = x P(x^2) / Q(x^2) on |x| <= 4, within 3e-7 (the rational minimax of Eigen and XLA).
FAR = np.float32(4.0)
P6, P5, P4 = (
    np.float32(-2.72614225801306e-10),
    np.float32(2.77068142495902e-08),
    np.float32(-2.10102402082508e-06),
)
P3, P2, P1, P0 = (
    np.float32(-5.69250639462346e-05),
    np.float32(-7.34990630326855e-04),
    np.float32(-2.95459980854025e-03),
    np.float32(-1.60960333262415e-02),
)
Q4, Q3, Q2, Q1, Q0 = (
    np.float32(-1.45660718464996e-05),
    np.float32(-2.13374055278905e-04),
    np.float32(-1.68282697438203e-03),
    np.float32(-7.37332916720468e-03),
    np.float32(-1.42647390514189e-02),
)


@compiled
def add_inner_products(
    queries: FloatArray, table: FloatArray, rows: IntArray, columns: IntArray, out: FloatArray
) -> None:
    """out[u, i, columns[j]] = queries[u, j] . table[rows[u, i]]; shapes (b, c, p), (b, q, d)."""
    width = table.shape[1]
    for user in range(len(queries)):
        for place in range(rows.shape[1]):
            row = rows[user, place]
            if row < 0:
                continue
            for number in range(len(columns)):
                total = ZERO
                for k in range(width):
                    total += queries[user, number, k] * table[row, k]
                out[user, place, columns[number]] = total


@compiled
def add_weight_sums(
    history_offsets: IntArray,
    history: IntArray,
    newest: int,
    offsets: IntArray,
    spoken_for: npt.NDArray[np.int32],
    weight: FloatArray,
    rows: IntArray,
    columns: IntArray,
    smallest: np.float32,
    out: FloatArray,
) -> None:
    """What the items of a history say for each candidate, and its logarithm, into two columns.

    User u had the items history[history_offsets[u]:history_offsets[u + 1]], of which the `newest`
    count (0: all), each once; item i has the weights offsets[i]:offsets[i + 1].
    """
    total = np.zeros(len(offsets) - 1, np.float32)
    for user in range(len(rows)):
        start, end = history_offsets[user], history_offsets[user + 1]
        start = max(start, end - newest) if newest > 0 else start
        items = np.sort(history[start:end])
        for number in range(len(items)):
            item = items[number]
            if number == 0 or items[number - 1] != item:
                for k in range(offsets[item], offsets[item + 1]):
                    total[spoken_for[k]] += weight[k]
        for place in range(rows.shape[1]):
            row = rows[user, place]
            if row >= 0:
                said = total[row]
                out[user, place, columns[0]] = said
                out[user, place, columns[1]] = np.log(max(said, ZERO) + smallest)
        for item in items:
            for k in range(offsets[item], offsets[item + 1]):
                total[spoken_for[k]] = ZERO


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
        for place in range(rows.shape[1]):
            row = rows[user, place]
            if row >= 0:
                out[user, place, columns[0]] = np.log1p(count[row])
                out[user, place, columns[1]] = newest[row]
        for k in range(start, end):
            count[history[k]] = ZERO
            newest[history[k]] = ZERO


@compiled
def score_pairs(
    features: FloatArray,
    rows: IntArray,
    center: tuple[np.float32, ...],
    scale: tuple[np.float32, ...],
    limit: np.float32,
    item_hidden: FloatArray,
    item_score: FloatArray,
    user_hidden: FloatArray,
    user_score: FloatArray,
    weights: FloatArray,
    linear: FloatArray,
    readout: FloatArray,
    out: FloatArray,
) -> None:
    """out (b, c): linear + perceptron + what is added as it is.

    features (b, c, p + 1): p columns to standardise, the last one is part of the score already.
    weights (p, h): of the hidden layer, to which item_hidden (n, h) and user_hidden (b, h) belong.
    """
    known, width = len(center), len(readout)  # known: constant once compiled, as it is of a tuple
    values = np.empty(known, np.float32)
    for user in range(len(rows)):
        for place in range(rows.shape[1]):
            row = rows[user, place]
            if row < 0:
                out[user, place] = ZERO
                continue
            score = item_score[row] + user_score[user] + features[user, place, known]
            for j in range(known):
                value = (features[user, place, j] - center[j]) * scale[j]
                values[j] = min(max(value, -limit), limit)
                score += values[j] * linear[j]
            for h in range(width):
                hidden = item_hidden[row, h] + user_hidden[user, h]
                for j in range(known):
                    hidden += values[j] * weights[j, h]
                x = min(max(hidden * ROOT_HALF, -FAR), FAR)
                y = x * x
                top = (((((P6 * y + P5) * y + P4) * y + P3) * y + P2) * y + P1) * y + P0
                low = (((Q4 * y + Q3) * y + Q2) * y + Q1) * y + Q0
                score += HALF * hidden * (ONE + x * top / low) * readout[h]
            out[user, place] = score


@compiled
def find_reasons(
    unit: FloatArray, offsets: IntArray, history: IntArray, rows: IntArray, out: IntArray
) -> None:
    """out (b, c, r): the history items nearest to each candidate by unit (n, d), -1 = none.

    User u has the items history[offsets[u]:offsets[u + 1]], each once; of equal ones the first.
    """
    most, width = out.shape[2], unit.shape[1]
    best = np.empty(most, np.float32)
    for user in range(len(rows)):
        items = history[offsets[user] : offsets[user + 1]]
        past = unit[items]
        for place in range(rows.shape[1]):
            row = rows[user, place]
            found = 0
            for number in range(len(items) if row >= 0 else 0):
                total = ZERO
                for k in range(width):
                    total += unit[row, k] * past[number, k]
                if found == most and (most == 0 or total <= best[most - 1]):
                    continue
                at = min(found, most - 1)
                while at > 0 and best[at - 1] < total:
                    best[at] = best[at - 1]
                    out[user, place, at] = out[user, place, at - 1]
                    at -= 1
                best[at] = total
                out[user, place, at] = items[number]
                found = min(found + 1, most)
            for at in range(found, most):
                out[user, place, at] = -1
