"""The parts of a NeuMF training step that are no matrix products, compiled.

Pairs are (user, item, label); `rows` of a pair are places among the distinct users or items of the
batch. Arrays are C-contiguous. Operands and results of matrix products are float32 or the bits of
bfloat16, as the caller has them; all else is float32, sums too.
"""

# The loops read like the formulas they are; numba takes their arguments by position.
# ruff: noqa: PLR0913, PLR0917

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import LINE_BYTES, compiled, narrowed, prefetch, widened
from pwrank.ranker.history import FloatArray, IntArray

Places = npt.NDArray[np.int32]
Operands = npt.NDArray[np.float32] | npt.NDArray[np.uint16]
"""Of matrix products: float32, or the bits of bfloat16."""
Decay = tuple[np.float32, np.float32]
"""What Adam keeps of its two moments in a step."""
Rates = tuple[np.float32, np.float32, np.float32]
"""Of learning and of the square's root, both corrected for moments that began at zero, and what is
added to the root."""

ONE, ZERO = np.float32(1.0), np.float32(0.0)
LINE = LINE_BYTES // 4
"""Numbers of a line of the cache."""
AHEAD = 4
"""Rows of a table that are fetched before their turn: the next is anywhere in memory."""


@compiled
def fetch_row(table: FloatArray, row: int) -> None:
    """Ask for a row of a table."""
    flat, start = table.reshape(-1), row * table.shape[1]
    for number in range(start, start + table.shape[1], LINE):
        prefetch(flat, number)


@compiled
def number_distinct(
    ids: IntArray, slots: Places, distinct: IntArray, places: Places, ends: Places, pairs: Places
) -> int:
    """Distinct ids in the order in which they come, and which pairs have each.

    slots: as long as there are ids at all, -1 before and after. places (pairs,): each id's place
    among the distinct ones, whose pairs are pairs[ends[place]:ends[place + 1]], ascending. Returns
    how many are distinct.
    """
    count = 0
    for pair in range(len(ids)):
        found = ids[pair]
        if slots[found] < 0:
            slots[found] = count
            distinct[count] = found
            count += 1
            ends[count] = 0
        places[pair] = slots[found]
        ends[slots[found] + 1] += 1
    ends[0] = 0
    for place in range(count):
        slots[distinct[place]] = -1
        ends[place + 1] += ends[place]
    # Written from the last pair on, each end comes down to the start of its place.
    for pair in range(len(ids) - 1, -1, -1):
        ends[places[pair] + 1] -= 1
        pairs[ends[places[pair] + 1]] = pair
    for place in range(count):
        ends[place] = ends[place + 1]
    ends[count] = len(ids)
    return count


@compiled
def has_item(
    offsets: npt.NDArray[np.int32], items: npt.NDArray[np.int32], user: IntArray, item: IntArray
) -> npt.NDArray[np.bool_]:
    """Whether the user has the item: user u has the ascending items[offsets[u]:offsets[u + 1]]."""
    found = np.empty(len(user), np.bool_)
    for pair in range(len(user)):
        low, high = offsets[user[pair]], offsets[user[pair] + 1]
        end, wanted = high, item[pair]
        while low < high:
            middle = (low + high) // 2
            if items[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        found[pair] = low < end and items[low] == wanted
    return found


@compiled
def take_rows(values: FloatArray, rows: IntArray, product: FloatArray, read: Operands) -> None:
    """Rows of a table in two parts: what is multiplied by the other side, what is read."""
    for place in range(len(rows)):
        if place + AHEAD < len(rows):
            fetch_row(values, rows[place + AHEAD])
        row, left, right = values[rows[place]], product[place], read[place]
        for k in range(product.shape[1]):
            left[k] = row[k]
        row = row[product.shape[1] :]
        for k in range(read.shape[1]):
            right[k] = narrowed(row[k], right)


@compiled
def first_layer(
    user_part: Operands,
    item_part: Operands,
    bias: FloatArray,
    user_rows: FloatArray,
    item_rows: FloatArray,
    weights: FloatArray,
    user: Places,
    item: Places,
    hidden: Operands,
    product: FloatArray,
) -> None:
    """hidden (pairs, h): relu of parts and bias; product (pairs,): sum over k of w_k u_k v_k."""
    for pair in range(len(user)):
        mine, its, out = user_part[user[pair]], item_part[item[pair]], hidden[pair]
        for k in range(hidden.shape[1]):
            out[k] = narrowed(max(widened(mine[k]) + widened(its[k]) + bias[k], ZERO), out)
        left, right, total = user_rows[user[pair]], item_rows[item[pair]], ZERO
        for k in range(len(weights)):
            total += left[k] * right[k] * weights[k]
        product[pair] = total


@compiled
def hidden_layer(states: Operands, bias: FloatArray) -> None:
    """Relu of states (pairs, h) and bias, in place."""
    for pair in range(states.shape[0]):
        out = states[pair]
        for k in range(states.shape[1]):
            out[k] = narrowed(max(widened(out[k]) + bias[k], ZERO), out)


@compiled
def last_layer(
    hidden: Operands,
    weights: FloatArray,
    bias: np.float32,
    product: FloatArray,
    label: FloatArray,
    scale: np.float32,
    errors: FloatArray,
    back: Operands,
    weights_back: FloatArray,
) -> tuple[float, np.float32]:
    """Sum of the pairs' cross entropies, and its gradient times `scale`.

    errors (pairs,): by the score; back (pairs, h): by the last hidden layer; weights_back (h,): by
    `weights`. Returns the sum, and the gradient by `bias`.
    """
    loss, bias_back = 0.0, ZERO
    weights_back[:] = ZERO
    for pair in range(len(product)):
        units, out, score = hidden[pair], back[pair], product[pair] + bias
        for k in range(len(weights)):
            score += widened(units[k]) * weights[k]
        small = np.exp(-abs(score))
        likely = (ONE if score >= ZERO else small) / (ONE + small)
        loss += max(score, ZERO) - score * label[pair] + np.log1p(small)
        error = (likely - label[pair]) * scale
        errors[pair] = error
        bias_back += error
        for k in range(len(weights)):
            weights_back[k] += error * widened(units[k])
            out[k] = narrowed(error * weights[k], out)
    return loss, bias_back


@compiled
def through_relu(values: Operands, back: Operands, total: FloatArray) -> None:
    """The way back through a relu, in place: zero where `values` are; total (h,): its sum."""
    total[:] = ZERO
    for row in range(values.shape[0]):
        kept, out = values[row], back[row]
        for k in range(values.shape[1]):
            slope = widened(out[k]) if widened(kept[k]) > ZERO else ZERO
            total[k] += slope
            out[k] = narrowed(slope, out)


@compiled
def sum_pairs(
    ends: Places,
    pairs: Places,
    other: Places,
    back: Operands,
    errors: FloatArray,
    rows: FloatArray,
    other_rows: FloatArray,
    weights: FloatArray,
    part_back: Operands,
    product_back: FloatArray,
    weights_back: FloatArray,
) -> None:
    """Sums over the pairs of some rows of one side: row r has pairs[ends[r]:ends[r + 1]].

    part_back (at least rows, h): of `back` (pairs, h), zero behind the rows; product_back
    (rows, k): of errors times the other side's rows (others, k) times the weights; weights_back
    (k,): the gradient by the weights, of these rows.
    """
    total, product = np.empty(back.shape[1], np.float32), np.empty(len(weights), np.float32)
    weights_back[:] = ZERO
    for row in range(len(ends) - 1):
        total[:] = ZERO
        product[:] = ZERO
        for pair in pairs[ends[row] : ends[row + 1]]:
            given = back[pair]
            for k in range(len(total)):
                total[k] += widened(given[k])
            its, error = other_rows[other[pair]], errors[pair]
            for k in range(len(product)):
                product[k] += error * its[k]
        out = part_back[row]
        for k in range(len(total)):
            out[k] = narrowed(total[k], out)
        mine, slopes = rows[row], product_back[row]
        for k in range(len(product)):
            weights_back[k] += mine[k] * product[k]
            slopes[k] = product[k] * weights[k]
    for row in range(len(ends) - 1, part_back.shape[0]):
        out = part_back[row]
        for k in range(len(total)):
            out[k] = narrowed(ZERO, out)


@compiled
def adam(
    values: FloatArray,
    mean: FloatArray,
    square: FloatArray,
    slopes: FloatArray,
    decay: Decay,
    rates: Rates,
) -> None:
    """Adam on values (n,) and their two moments, in place; slopes (n,)."""
    keep, keep_square = decay
    rate, scale, least = rates
    for k in range(len(slopes)):
        slope = slopes[k]
        mean[k] = keep * mean[k] + (ONE - keep) * slope
        square[k] = keep_square * square[k] + (ONE - keep_square) * slope * slope
        values[k] -= rate * mean[k] / (np.sqrt(square[k]) * scale + least)


@compiled
def adam_rows(
    values: FloatArray,
    mean: FloatArray,
    square: FloatArray,
    rows: IntArray,
    product: FloatArray,
    read: Operands,
    decay: Decay,
    rates: Rates,
) -> None:
    """Adam on `rows` of a table: their slopes are in two parts, as `take_rows` has the rows."""
    slopes = np.empty(values.shape[1], np.float32)
    first, last = slopes[: product.shape[1]], slopes[product.shape[1] :]
    for place in range(len(rows)):
        if place + AHEAD < len(rows):
            fetch_row(values, rows[place + AHEAD])
            fetch_row(mean, rows[place + AHEAD])
            fetch_row(square, rows[place + AHEAD])
        left, right, row = product[place], read[place], rows[place]
        for k in range(len(first)):
            first[k] = left[k]
        for k in range(len(last)):
            last[k] = widened(right[k])
        adam(values[row], mean[row], square[row], slopes, decay, rates)
