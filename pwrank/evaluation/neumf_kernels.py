"""The parts of a NeuMF training step that are no matrix products, compiled.

Pairs are (user, item, label); `rows` of a pair are places among the distinct users or items of the
batch. Arrays are C-contiguous along their last axis; numbers are float32.
"""

# The loops read like the formulas they are; numba takes their arguments by position.
# ruff: noqa: PLR0913, PLR0917

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import FloatArray, IntArray

Places = npt.NDArray[np.int32]

ONE, ZERO = np.float32(1.0), np.float32(0.0)


@compiled
def number_distinct(ids: IntArray, slots: Places, distinct: IntArray, places: Places) -> int:
    """Distinct ids in the order in which they come, and each id's place among them.

    slots: as long as there are ids at all, -1 before and after. Returns how many are distinct.
    """
    count = 0
    for pair in range(len(ids)):
        found = ids[pair]
        if slots[found] < 0:
            slots[found] = count
            distinct[count] = found
            count += 1
        places[pair] = slots[found]
    for place in range(count):
        slots[distinct[place]] = -1
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
def first_layer(
    user_part: FloatArray,
    item_part: FloatArray,
    bias: FloatArray,
    user_rows: FloatArray,
    item_rows: FloatArray,
    weights: FloatArray,
    user: Places,
    item: Places,
    hidden: FloatArray,
    product: FloatArray,
) -> None:
    """hidden (pairs, h): relu of parts and bias; product (pairs,): sum over k of w_k u_k v_k."""
    for pair in range(len(user)):
        mine, its, out = user_part[user[pair]], item_part[item[pair]], hidden[pair]
        for k in range(hidden.shape[1]):
            out[k] = max(mine[k] + its[k] + bias[k], ZERO)
        left, right, total = user_rows[user[pair]], item_rows[item[pair]], ZERO
        for k in range(len(weights)):
            total += left[k] * right[k] * weights[k]
        product[pair] = total


@compiled
def last_layer(
    hidden: FloatArray,
    weights: FloatArray,
    bias: np.float32,
    product: FloatArray,
    label: FloatArray,
    scale: np.float32,
    errors: FloatArray,
    back: FloatArray,
    weights_back: FloatArray,
) -> tuple[float, np.float32]:
    """Sum of the pairs' cross entropies, and its gradient times `scale`.

    errors (pairs,): by the score; back (pairs, h): by the last hidden layer before its relu;
    weights_back (h,): by `weights`. Returns the sum, and the gradient by `bias`.
    """
    loss, bias_back = 0.0, ZERO
    weights_back[:] = ZERO
    for pair in range(len(product)):
        units, out, score = hidden[pair], back[pair], product[pair] + bias
        for k in range(len(weights)):
            score += units[k] * weights[k]
        small = np.exp(-abs(score))
        likely = (ONE if score >= ZERO else small) / (ONE + small)
        loss += max(score, ZERO) - score * label[pair] + np.log1p(small)
        error = (likely - label[pair]) * scale
        errors[pair] = error
        bias_back += error
        for k in range(len(weights)):
            weights_back[k] += error * units[k]
            out[k] = error * weights[k] if units[k] > ZERO else ZERO
    return loss, bias_back


@compiled
def through_relu(values: FloatArray, back: FloatArray, total: FloatArray) -> None:
    """The way back through a relu, in place: zero where `values` are; total (h,): its sum."""
    total[:] = ZERO
    for row in range(values.shape[0]):
        kept, out = values[row], back[row]
        for k in range(values.shape[1]):
            out[k] = out[k] if kept[k] > ZERO else ZERO
            total[k] += out[k]


@compiled
def sum_by_row(
    mine: Places,
    other: Places,
    back: FloatArray,
    errors: FloatArray,
    other_rows: FloatArray,
    part_back: FloatArray,
    product_back: FloatArray,
) -> None:
    """Sums over the pairs of each row of one side.

    part_back (rows, h): of `back` (pairs, h); product_back (rows, k): of errors times the other
    side's rows (others, k).
    """
    part_back[:] = ZERO
    product_back[:] = ZERO
    for pair in range(len(mine)):
        total, given = part_back[mine[pair]], back[pair]
        for k in range(back.shape[1]):
            total[k] += given[k]
        total, given, error = product_back[mine[pair]], other_rows[other[pair]], errors[pair]
        for k in range(other_rows.shape[1]):
            total[k] += error * given[k]


@compiled
def through_product(
    rows: FloatArray, weights: FloatArray, back: FloatArray, weights_back: FloatArray
) -> None:
    """back (n, k), errors times the other side: times the weights, in place.

    weights_back (k,): the gradient by the weights, of these rows.
    """
    weights_back[:] = ZERO
    for row in range(rows.shape[0]):
        mine, out = rows[row], back[row]
        for k in range(len(weights)):
            weights_back[k] += mine[k] * out[k]
            out[k] *= weights[k]


@compiled
def adam_rows(
    values: FloatArray,
    mean: FloatArray,
    square: FloatArray,
    rows: IntArray,
    gradient: FloatArray,
    decay: tuple[np.float32, np.float32],
    rates: tuple[np.float32, np.float32, np.float32],
) -> None:
    """Adam on `rows` of a table and of its two moments; gradient (len(rows), dim).

    rates: of learning and of the square's root, both corrected for moments that began at zero, and
    what is added to the root.
    """
    keep, keep_square = decay
    rate, scale, least = rates
    for place in range(len(rows)):
        value, first, second = values[rows[place]], mean[rows[place]], square[rows[place]]
        slope = gradient[place]
        for k in range(values.shape[1]):
            first[k] = keep * first[k] + (ONE - keep) * slope[k]
            second[k] = keep_square * second[k] + (ONE - keep_square) * slope[k] * slope[k]
            value[k] -= rate * first[k] / (np.sqrt(second[k]) * scale + least)
