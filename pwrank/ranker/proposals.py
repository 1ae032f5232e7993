"""Which candidates of an example the point-wise ranker learns to put in order."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pwrank.ranker.cooccurrence import user_item_matrix
from pwrank.ranker.model import ItemTable, UserTable
from pwrank.ranker.pair_features import recency
from pwrank.ranker.popularity import FEATURE_NAMES

PROPOSED_BY = ("lift_1d", "lift_4d", "lift_16d", "lift_infd")
"""Popularity features whose highest items are among the examples' candidates."""

BY_CHANCE = 1 / 6
"""Share of an example's candidates that are drawn from what comes behind the others."""

FURTHER = 4
"""They come from among the first so many times as many as there are candidates in all."""


@torch.no_grad()
def propose(
    users: UserTable,
    items: ItemTable,
    excluded: Tensor,
    *,
    depth: int,
    repeats: bool = False,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """(b, depth) int64: what retrieval finds and, in turn, what other views would have found.

    The scorer must have met what is popular now, what goes with the history and what retrieval
    alone prefers, also where the fitted retrieval does not rank them high; with `repeats`, also
    the history itself.

    With `rng`, the last sixth is drawn from what comes behind the others. A scorer that has met
    only what some view ranks high trusts the one view that speaks for an item against all the
    others; a night gives it more candidates than it learns from.
    """
    depth = min(depth, excluded.shape[1])
    reach = depth if rng is None else min(FURTHER * depth, excluded.shape[1])
    order = _in_turn(users, items, excluded, depth=reach, repeats=repeats)
    found = order.topk(reach, dim=1, largest=False).indices
    if rng is None or reach == depth:
        return found
    best = depth - round(depth * BY_CHANCE)
    chance = torch.from_numpy(rng.random((len(found), reach - best), np.float32))
    chance = chance.to(found.device)
    # What may not be ranked is behind all else; it is drawn only where there is nothing else.
    chance = chance - excluded.gather(1, found[:, best:]).to(chance.dtype)
    drawn = best + chance.topk(depth - best, dim=1).indices
    return torch.cat([found[:, :best], found.gather(1, drawn)], dim=1)


def _in_turn(
    users: UserTable, items: ItemTable, excluded: Tensor, *, depth: int, repeats: bool
) -> Tensor:
    """(b, n) int64: the best place at which a view ranks an item, `depth` = no view does before.

    One more where it may not be ranked.
    """
    dim = items.vectors.shape[1]
    views = [users.retrieval @ items.retrieval.T, users.vectors @ items.retrieval[:, :dim].T]
    taken = user_item_matrix(users.histories, len(items.vectors))
    together = (taken @ items.cooccurrence.matrix).toarray().astype(np.float32)
    views.append(torch.from_numpy(together).to(excluded.device))
    if repeats:
        own = torch.from_numpy(recency(users.histories, len(items.vectors)))
        views.append(own.to(excluded.device))
    depth = min(depth, excluded.shape[1])
    best = torch.full(excluded.shape, depth, dtype=torch.int64, device=excluded.device)
    place = torch.arange(depth, device=excluded.device).expand(len(excluded), -1)
    for view in views:
        top = view.masked_fill(excluded, float("-inf")).topk(depth, dim=1).indices
        best.scatter_reduce_(1, top, place, "amin")
    for name in PROPOSED_BY:
        top, among = _rising(items.popularity[:, FEATURE_NAMES.index(name)], excluded, depth)
        best.scatter_reduce_(1, top, among, "amin")
    return best.masked_fill_(excluded, depth + 1)


def _rising(column: Tensor, excluded: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """The highest items of a column (n,) for each user, and their places among what he may get.

    excluded (b, n) -> both (b, m) int64: at least `depth` of his own, the others to be left out
    still. All share one order, so that it is made once.
    """
    room = depth + int(excluded.sum(dim=1).max())
    order = column.argsort(descending=True, stable=True)[:room].expand(len(excluded), -1)
    among = (~excluded.gather(1, order)).cumsum(dim=1) - 1
    return order, among.clamp(0, depth)
