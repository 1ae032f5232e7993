"""Co-occurrence weights of items that are too rare for a place in one large matrix.

A column of EASE is a ridge regression of who took an item on who took each of the others. For an
item of a large catalogue nearly all of its weight lies on what is taken together with it, so that a
regression on its nearest neighbours alone finds the same (as SLIM does with chosen features, Ning
and Karypis, ICDM 2011), at a cost that grows with the square of the items, not with their cube.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from pwrank.ranker.catalogue import centred_text
from pwrank.ranker.cooccurrence import (
    Cooccurrence,
    CooccurrenceShape,
    count_together,
    user_item_matrix,
    users_of_each,
)
from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.neighbour_kernels import count_among
from pwrank.ranker.walks import walk_weights

NEIGHBOURS = 100
"""Items that an item's weight is shared among; 200 found nothing more (CHANGELOG)."""

BLOCK = 256
"""Items that are solved together."""


def learn_cooccurrence(
    histories: Histories, text: FloatArray, shape: CooccurrenceShape, *, exact_items: int
) -> Cooccurrence:
    """Weights between all items that anybody took.

    EASE between the `exact_items` most frequent of those that several took; every weight from or
    to another item by regression on neighbours. text: (n, d) of all items, zeros where one has
    none.
    """
    together = count_together(histories, text, most_items=exact_items)
    exact, frequent = together.weights(shape), np.zeros(len(text), np.bool_)
    frequent[together.chosen] = True
    interactions = user_item_matrix(histories, len(text))
    taken = np.flatnonzero(users_of_each(interactions))
    rare = regress_on_neighbours(interactions, text, shape, frequent, taken)
    both = (exact + rare).tocsr()
    return Cooccurrence(
        offsets=both.indptr.astype(np.int64),
        item=both.indices.astype(np.int64),
        weight=both.data.astype(np.float32),
        walk=walk_weights(interactions, both),
    )


def regress_on_neighbours(
    interactions: sparse.csr_matrix,
    text: FloatArray,
    shape: CooccurrenceShape,
    frequent: npt.NDArray[np.bool_],
    items: IntArray,
) -> sparse.csr_matrix:
    """(n, n) weights, row = history item, column = one of `items`; none between frequent ones.

    interactions: (users, n) of ones; frequent: (n,). Of equally near neighbours any are taken, the
    same every time. Memory: BLOCK * (3 n + 5 NEIGHBOURS^2) * 4 bytes, two copies of the
    interactions, 8 bytes a user, and the weights, at most NEIGHBOURS an item.
    """
    if frequent[items].all():
        return sparse.csr_matrix((len(frequent), len(frequent)), dtype=np.float32)
    solver = _Regressions(interactions, text, shape)
    rows, columns, weights = [], [], []
    for block, nearest in solver.neighbours_of(items):
        new = (nearest >= 0) & ~(frequent[nearest] & frequent[block][:, None])
        # Among frequent items alone there is nothing to find that is not known better.
        some = new.any(axis=1)
        found = solver.weights(block[some], nearest[some])
        kept = new[some] & (found != 0)
        rows.append(nearest[some][kept])
        columns.append(np.broadcast_to(block[some, None], kept.shape)[kept])
        weights.append(found[kept])
    cells = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(cells, shape=(len(frequent), len(frequent)))


class _Regressions:
    """Ridge regressions of items on their neighbours, in one log."""

    def __init__(
        self, interactions: sparse.csr_matrix, text: FloatArray, shape: CooccurrenceShape
    ) -> None:
        self._taken = interactions
        self._takers = interactions.tocsc()
        self._offsets = self._takers.indptr.astype(np.int64)
        self._users = self._takers.indices.astype(np.int32)
        self._shape = shape
        self._text = torch.from_numpy(centred_text(text)) if shape.text else torch.empty(0)
        self.count = users_of_each(interactions)

    def neighbours_of(self, items: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
        """Blocks (b,) of the items, and (b, w) their nearest taken ones by cosine, -1 = none."""
        worth = np.float32(self._shape.text)
        length = torch.from_numpy(np.sqrt(self.count + worth).astype(np.float32))
        nobodys = torch.from_numpy(self.count == 0)
        wide = min(NEIGHBOURS, len(self.count))
        for first in range(0, len(items), BLOCK):
            block = items[first : first + BLOCK]
            near = torch.from_numpy((self._takers[:, block].T @ self._taken).toarray())
            if worth:
                near.addmm_(self._text[block], self._text.T, alpha=float(worth))
            near.div_(length).masked_fill_(nobodys, 0.0)
            near[torch.arange(len(block)), torch.from_numpy(block)] = 0.0
            best = near.topk(wide, dim=1)
            yield block, torch.where(best.values > 0, best.indices, -1).numpy()

    def weights(self, items: IntArray, nearest: IntArray) -> FloatArray:
        """(b, w) float32: how much each of the nearest (b, w) speaks for its item (b,)."""
        # In double precision, so that texts which read the same do not break a small ridge.
        among = self._among(np.concatenate([nearest, items[:, None]], axis=1)).double()
        gram, together = among[:, :-1, :-1], among[:, :-1, -1:]
        gram.diagonal(dim1=1, dim2=2).add_(self._shape.ridge)
        solved = torch.cholesky_solve(together, torch.linalg.cholesky(gram))
        found: FloatArray = solved.squeeze(-1).float().numpy()
        return found

    def _among(self, chosen: IntArray) -> Tensor:
        """(b, w, w) float32: what shows that items of a row (b, w) belong together."""
        out = np.zeros((*chosen.shape, chosen.shape[1]), np.float32)
        count_among(self._offsets, self._users, self._taken.shape[0], chosen, out)
        among = torch.from_numpy(out)
        if self._shape.text:
            read = self._text[chosen.clip(0)] * torch.from_numpy(chosen >= 0).unsqueeze(-1)
            among.baddbmm_(read, read.transpose(1, 2), alpha=self._shape.text)
        return among
