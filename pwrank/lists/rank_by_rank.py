"""Lists filled rank by rank: the ranks that exploration has, and the cap on categories.

Both look at what stands above, and the cap holds for what is explored, too; so they are one pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from pwrank.lists.exploration import EXPLORED_TOGETHER, Shares
from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import IntArray

NO_CATEGORY = -1


class Cap(NamedTuple):
    """At most so many of one category among the first ranks."""

    category: IntArray
    """(n,) of all items, numbered from 0; NO_CATEGORY: has none and is never capped."""
    most: int
    """0: no cap."""
    window: int
    """Ranks in which it holds."""


def number_categories(category: pl.Series) -> IntArray:
    """(n,) the whole string as a number, the same for equal ones; NO_CATEGORY where it is empty."""
    named = category.replace("", None)
    number = named.rank("dense").cast(pl.Int64) - 1
    return number.fill_null(NO_CATEGORY).to_numpy()


class Room(NamedTuple):
    """What is left for a user's list while it is filled; c places, g categories."""

    free: npt.NDArray[np.bool_]
    """(c,) there is an item, and it stands in no rank yet."""
    own: IntArray
    """(c,) category of the item, NO_CATEGORY with no cap."""
    counts: IntArray
    """(g,) ranks that each category has in the cap's window."""


class Queues(NamedTuple):
    """Places of a user in the order in which they come."""

    untouched: IntArray
    rare: IntArray
    other: IntArray


@compiled
def fill_ranks(  # noqa: PLR0917 - compiled
    by_score: IntArray,
    order: IntArray,
    candidates: IntArray,
    untouched: int,
    rare: npt.NDArray[np.bool_],
    shares: Shares,
    cap: Cap,
    k: int,
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Give each rank to the next item in order that has room under the cap.

    The last ranks of every EXPLORED_TOGETHER are kept for what would not be there by its score:
    untouched and rarely touched items take turns, as long as there are both; the latter begin where
    there is one rank only. A rank goes to the order where none of them has room. Where nothing at
    all has room, the cap rises by one from that rank on: what exceeds it follows in rounds of at
    most one more of each category.

    Every place of a user stands in by_score and, as the list has them, in order (b, c), empty ones
    last; untouched: so many of the last candidates are such items, in their order; rare: (n,);
    shares: (b,). Returns the place of each rank (b, min(k, c)), and whether it is explored.
    """
    size = order.shape[1]
    width = min(k, size)
    places = np.empty((len(order), width), np.int64)
    explored = np.zeros(places.shape, np.bool_)
    categories = cap.category.max() + 1 if cap.most else 0
    room = Room(np.empty(size, np.bool_), np.empty(size, np.int64), np.zeros(categories, np.int64))
    new, seldom = np.empty(size, np.int64), np.empty(size, np.int64)
    for user in range(len(order)):
        mine, share = candidates[user], shares[user]
        length = min(width, _make_room(mine, cap, room))
        news = seldoms = 0
        if int(length * share + 1e-9):
            for place in range(size - untouched, size):
                if room.free[place]:
                    new[news] = place
                    news += 1
            for place in by_score[user]:  # without a branch: which are rare is anybody's guess
                seldom[seldoms] = place
                seldoms += room.free[place] & rare[max(mine[place], 0)]
        queues = Queues(new[:news], seldom[:seldoms], order[user])
        chosen, marked = places[user, :length], explored[user, :length]
        _fill(queues, room, share, cap.most, cap.window, chosen, marked)
        places[user, length:] = order[user, length:width]
    return places, explored


@compiled
def _make_room(items: IntArray, cap: Cap, room: Room) -> int:
    """Everything that is there is free, and nothing has a rank. Returns how much is there."""
    there = 0
    for place in range(len(items)):
        item = items[place]
        room.free[place] = item >= 0
        room.own[place] = cap.category[item] if cap.most and item >= 0 else NO_CATEGORY
        there += item >= 0
    room.counts[:] = 0
    return there


@compiled
def _fill(  # noqa: PLR0917 - compiled
    queues: Queues,
    room: Room,
    share: float,
    most: int,
    window: int,
    places: IntArray,
    explored: npt.NDArray[np.bool_],
) -> None:
    """Fill places and explored (length,) of one user, who has at least so many free places."""
    length = len(places)
    # Where users hardly take rare items, those taken are mostly touched ones (CHANGELOG).
    turn = 1 if int(EXPLORED_TOGETHER * share + 1e-9) == 1 else 0
    new = seldom = other = 0
    for rank in range(length):
        begin = rank // EXPLORED_TOGETHER * EXPLORED_TOGETHER
        end = min(begin + EXPLORED_TOGETHER, length)
        kept = int(end * share + 1e-9) - int(begin * share + 1e-9)
        if most and rank == window:
            room.own[:] = NO_CATEGORY
            new = seldom = other = 0
        place = -1
        while place < 0:
            if end - kept <= rank:
                new = _first(queues.untouched, new, room, most)
                seldom = _first(queues.rare, seldom, room, most)
                if seldom < len(queues.rare) and (turn % 2 or new == len(queues.untouched)):
                    place = queues.rare[seldom]
                elif new < len(queues.untouched):
                    place = queues.untouched[new]
            explored[rank] = place >= 0
            if place < 0:
                other = _first(queues.other, other, room, most)
                if other < len(queues.other):
                    place = queues.other[other]
                else:
                    new, seldom, other, most = 0, 0, 0, most + 1
        turn += end - kept <= rank
        places[rank], room.free[place] = place, False
        if room.own[place] != NO_CATEGORY:
            room.counts[room.own[place]] += 1


@compiled
def _first(queue: IntArray, start: int, room: Room, most: int) -> int:
    """From start on, the number of the first place that is free and has room, or the length.

    As long as the cap stays what it is, none that was passed over has room later.
    """
    for number in range(start, len(queue)):
        place = queue[number]
        if room.free[place]:
            own = room.own[place]
            if own == NO_CATEGORY or room.counts[own] < most:
                return number
    return len(queue)
