"""What the night's scorer knows about users alone, compiled: a loop for a dozen small tensors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import FloatArray, IntArray
from pwrank.ranker.pair_features import RATINGS_OF_NOBODY

ZERO, ONE = np.float32(0.0), np.float32(1.0)
ADDED_RATINGS, SMALLEST_NORM = np.float32(RATINGS_OF_NOBODY), np.float32(1e-12)


@compiled
def add_user_features(  # noqa: PLR0917 - numba takes arguments by position
    item: IntArray,
    mask: npt.NDArray[np.bool_],
    rating: FloatArray,
    popularity: FloatArray,
    columns: IntArray,
    out: FloatArray,
) -> None:
    """Into out[u, 1:]: means of popularity (n, f) in two columns, and of the ratings.

    As `user_features` of histories item, mask and rating (b, l), NaN = none; out[u, 0] stays.
    """
    for user in range(len(item)):
        count, rated, added = ZERO, ADDED_RATINGS, ZERO
        first, second = ZERO, ZERO
        for place in range(item.shape[1]):
            if mask[user, place]:
                count += ONE
                first += popularity[item[user, place], columns[0]]
                second += popularity[item[user, place], columns[1]]
                if not np.isnan(rating[user, place]):
                    rated += ONE
                    added += rating[user, place]
        count = max(count, ONE)
        out[user, 1], out[user, 2], out[user, 3] = first / count, second / count, added / rated


@compiled
def add_recent_text(
    item: IntArray, mask: npt.NDArray[np.bool_], text: FloatArray, newest: int, out: FloatArray
) -> None:
    """Into out[u, 1] of (b, 2, t): the unit vector of what the texts (n, t) of the `newest` say."""
    for user in range(len(item)):
        mine, left = out[user, 1], newest
        mine[:] = ZERO
        for place in range(item.shape[1] - 1, -1, -1):
            if left and mask[user, place]:
                left -= 1
                row = text[item[user, place]]
                for k in range(len(row)):
                    mine[k] += row[k]
        square = ZERO
        for k in range(len(mine)):
            square += mine[k] * mine[k]
        factor = ONE / max(np.sqrt(square), SMALLEST_NORM)
        for k in range(len(mine)):
            mine[k] *= factor
