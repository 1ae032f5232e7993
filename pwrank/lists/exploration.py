"""Items that few or none have touched, found beside the candidates and kept ranks for.

An item that nobody has touched can be judged by its text alone: those come that read most like the
history, whatever the ranker, which never met one, says of them. Of those with a few interactions
the ranker knows more. Which kind holds what will be wanted differs between catalogues (are items
listed before they are first taken, or with it?), so they take turns.

Not everybody wants such items: who hardly has any gets a third of the ranks that the dial allows.
So does everybody with a history in a log whose times are not known or not asked about: what is rare
there need not be new. And where hardly any item is rare, the few that are do not go to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pwrank.lists.exact_search import Excluded, Pool, make_pool, search_exactly
from pwrank.lists.item_index import ItemIndex
from pwrank.ranker.compiled import compiled
from pwrank.ranker.history import Histories, IntArray
from pwrank.ranker.inner_products import add_inner_products
from pwrank.ranker.model import ItemTable, UserTable

MOST_UNTOUCHED = 50_000
"""Untouched items that are compared with each history; of more, the most promising at large."""

EXPLORED_TOGETHER = 20
"""Ranks of which the last ones are explored: the first ten of a list are left alone as long as the
dial is at most a half."""

FULL_APPETITE = 0.15
"""Appetite for rare items from which on a user gets all the ranks that the dial allows."""

LEAST_OF_DIAL = 1 / 3
"""Share of those ranks that everybody gets."""

MOST_OF_AVERAGE = 3.0
"""Ranks that rare items get at most, together, in those that so many items have on average."""

RARER_THAN_HISTORY = 2.0
"""What is taken next is rare so many times as often as what was taken before: 1.2 to 5 on the logs
looked at, since items gather interactions as time goes by."""

BELIEF = 10.0
"""Interactions' worth of everybody's share that a user's own is shrunk with."""

Shares = npt.NDArray[np.float64]
"""Of the ranks of each user: in float64, so that whole ranks come out whole in long lists."""


@dataclass(frozen=True)
class Explorable:
    """What the exploration dial may place."""

    untouched: Pool
    """Available items that have a text and no interaction; vectors: texts (a, dim)."""
    rare: Pool
    """Available items with few interactions or none; vectors: as retrieval has them."""
    is_rare: npt.NDArray[np.bool_]
    """(n,) of all items: few interactions or none."""
    appetite: float
    """Share of all interactions that is with rare items."""
    of_catalogue: float
    """Share of the available items that is rare."""


def explorable(items: ItemIndex, most: int) -> Explorable:
    """Of tonight's catalogue; rare: with at most so many interactions."""
    interactions = items.interactions
    is_rare = interactions <= most
    rare = items.pool.rows[is_rare[items.pool.rows]]
    promising = items.by_popularity[interactions[items.by_popularity] == 0]
    text = items.table.text
    promising = promising[(text[torch.from_numpy(promising)] != 0).any(dim=1).numpy()]
    untouched = np.sort(promising[:MOST_UNTOUCHED])
    return Explorable(
        untouched=make_pool(text, untouched),
        rare=make_pool(items.table.retrieval, rare),
        is_rare=is_rare,
        appetite=float(interactions[is_rare].sum()) / max(float(interactions.sum()), 1.0),
        of_catalogue=len(rare) / max(len(items.pool.rows), 1),
    )


def nearest_untouched(
    pool: Pool, users: UserTable, table: ItemTable, excluded: tuple[Excluded, ...], found: IntArray
) -> None:
    """Into found (m, w), which holds -1: the untouched items that read most like the history.

    Of the first m users, nearest first. Nothing for a user whose history has no text.
    """
    search_exactly(pool, users.text, excluded, found)
    likeness = np.empty((len(found), 1, found.shape[1]), np.float32)
    queries, text = users.text.unsqueeze(1).numpy(), table.text.numpy()
    add_inner_products(queries, text, found, np.zeros(1, np.int64), likeness)
    order = np.argsort(np.where(found >= 0, -likeness[:, 0], np.inf), axis=1, kind="stable")
    found[:] = np.take_along_axis(found, order, 1)
    found[(users.text[: len(found)] == 0).all(dim=1).numpy()] = -1


def explored_shares(histories: Histories, tonight: Explorable | None, dial: float) -> Shares:
    """(b,) share of each user's ranks that is kept: `dial` for those who take what is rare.

    An appetite is the share of rare items among what a user has had, shrunk towards everybody's.
    It says something where items gather interactions as time goes by: a history without times, or
    read by its order, ends at 0 or before and gets the least. No share makes of rare items more
    than MOST_OF_AVERAGE says, and nothing is kept where there is nothing to explore.
    """
    if tonight is None:
        return np.zeros(histories.num_users)
    known = histories.item >= 0
    user, item = histories.user[known], histories.item[known]
    had = np.bincount(user, minlength=histories.num_users)
    had_rare = np.bincount(user, weights=tonight.is_rare[item], minlength=histories.num_users)
    own = (had_rare + BELIEF * tonight.appetite) / (had + BELIEF)
    part: Shares = np.clip(RARER_THAN_HISTORY * own / FULL_APPETITE, LEAST_OF_DIAL, 1.0)
    some = np.flatnonzero(histories.lengths)
    part[some[histories.timestamp[histories.offsets[some + 1] - 1] <= 0]] = LEAST_OF_DIAL
    return np.minimum(dial * part, MOST_OF_AVERAGE * tonight.of_catalogue)


@compiled
def take_out(rows: IntArray, taken: IntArray) -> None:
    """Replace by -1, in place, what each user's rows (m, c) share with taken (m, w)."""
    for user in range(len(rows)):
        for each in taken[user]:
            if each >= 0:
                for place in range(rows.shape[1]):
                    if rows[user, place] == each:
                        rows[user, place] = -1


@compiled
def added_last(order: IntArray, candidates: IntArray, added: int, k: int) -> IntArray:
    """The order (b, c) with what was only added to be explored behind all else that there is.

    added: so many of the last candidates. The ranker has learned from what retrieval finds; others
    it puts too high. As it was where the others do not make a list of k.
    """
    size = order.shape[1]
    moved = order.copy()
    for user in range(len(order)):
        others = 0
        for place in range(size - added):
            others += candidates[user, place] >= 0
        if others < k:
            continue
        number = 0
        for kind in range(3):
            for place in order[user]:
                mine = 2 if candidates[user, place] < 0 else 1 if place >= size - added else 0
                if mine == kind:
                    moved[user, number] = place
                    number += 1
    return moved
