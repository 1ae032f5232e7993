"""Pair counts among few items, as a compiled loop over the users who took them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import FloatArray, IntArray

ROOM = 1024
"""Entries of the lists below at first; doubled when full."""


@compiled
def count_among(
    offsets: IntArray,
    users: npt.NDArray[np.int32],
    num_users: int,
    chosen: IntArray,
    out: FloatArray,
) -> None:
    """Into out (b, w, w), zeros before: how many users took both of two items of a row of chosen.

    chosen: (b, w) items, different ones, -1 = none. Users of item i, each once:
    users[offsets[i]:offsets[i + 1]].

    The places of the items that a user took form a chain, newest first, so that the work is the
    pairs that there are, not w^2 users.
    """
    newest = np.full(num_users, -1, np.int64)
    place, older = np.empty(ROOM, np.int64), np.empty(ROOM, np.int64)
    for row in range(len(chosen)):
        links = 0
        for here in range(chosen.shape[1]):
            item = chosen[row, here]
            if item < 0:
                continue
            first, end = offsets[item], offsets[item + 1]
            out[row, here, here] = end - first
            while links + end - first > len(place):
                place, older = _doubled(place), _doubled(older)
            for user in users[first:end]:
                link = newest[user]
                while link >= 0:
                    out[row, here, place[link]] += 1
                    link = older[link]
                place[links], older[links], newest[user] = here, newest[user], links
                links += 1
        for here in range(chosen.shape[1]):
            item = chosen[row, here]
            if item >= 0:
                newest[users[offsets[item] : offsets[item + 1]]] = -1
        out[row] += np.tril(out[row], -1).T


@compiled
def _doubled(values: IntArray) -> IntArray:
    wider = np.empty(2 * len(values), np.int64)
    wider[: len(values)] = values
    return wider
