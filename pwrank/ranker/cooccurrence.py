"""What was taken together: EASE, cut to its strongest entries so that it stays small.

EASE (Steck, WWW 2019) is the best item-to-item model in closed form. Its scores are features of
the point-wise ranker, which thereby starts where the best collaborative baseline ends. Texts enter
as users more who took what reads alike (Jeunen, Van Balen and Goethals, RecSys 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from pwrank.ranker.catalogue import centred_text
from pwrank.ranker.history import FloatArray, Histories, IntArray


@dataclass(frozen=True)
class Cooccurrence:
    """Sparse item-to-item weights; row = history item, column = item it speaks for."""

    offsets: IntArray
    """(n + 1,) int64."""
    item: IntArray
    """(k,) int64: columns, ascending in each row."""
    weight: FloatArray
    """(k,) float32: EASE; to and from rare items a regression, see `regress_on_neighbours`."""
    walk: FloatArray
    """(k,) float32: see `walk_weights`."""

    @classmethod
    def empty(cls, num_items: int) -> Cooccurrence:
        """Of n items, of which none speaks for another."""
        nothing, numbers = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(np.zeros(num_items + 1, np.int64), nothing, numbers, numbers)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str) -> Cooccurrence:
        """What `to_tensors` gave. Raises KeyError where an array is missing."""
        return cls(**{field.name: tensors[prefix + field.name].numpy() for field in fields(cls)})

    def to_tensors(self, prefix: str) -> dict[str, Tensor]:
        """The arrays, sharing memory, by their names behind a prefix."""
        return {
            prefix + field.name: torch.from_numpy(getattr(self, field.name))
            for field in fields(self)
        }

    @property
    def matrix(self) -> sparse.csr_matrix:
        """(n, n) scipy CSR of the weights, sharing these arrays."""
        return self._as_matrix(self.weight)

    @property
    def walks(self) -> sparse.csr_matrix:
        """(n, n) scipy CSR of the walks, sharing these arrays."""
        return self._as_matrix(self.walk)

    def _as_matrix(self, values: FloatArray) -> sparse.csr_matrix:
        n = len(self.offsets) - 1
        return sparse.csr_matrix((values, self.item, self.offsets), shape=(n, n))


@dataclass(frozen=True)
class CooccurrenceShape:
    """How a co-occurrence model is held back."""

    ridge: float
    text: float
    """Users in common that a cosine of 1 between two texts is worth."""
    keep: int
    """Most telling weights kept between frequent items, so many per item on average."""


@dataclass(frozen=True)
class TakenTogether:
    """The most frequent items of a log, and what shows that two of them belong together."""

    num_items: int
    """n, in the log; m of them are here."""
    chosen: IntArray
    """(m,) int64 rows of the log's items, ascending."""
    count: FloatArray
    """(m,) users that took each."""
    users: FloatArray
    """(m, m) float32: users that took both."""
    text: FloatArray
    """(m, d) float32, see `centred_text`."""

    def most_frequent(self, most: int) -> TakenTogether:
        """So many of the items; of equally frequent ones those in front."""
        kept = np.sort(np.argsort(-self.count, kind="stable")[:most])
        return TakenTogether(
            num_items=self.num_items,
            chosen=self.chosen[kept],
            count=self.count[kept],
            users=self.users[np.ix_(kept, kept)],
            text=self.text[kept],
        )

    def weights(self, shape: CooccurrenceShape) -> sparse.csr_matrix:
        """(n, n) EASE cut to `shape.keep` weights per item. Memory: m^2 * 20 bytes."""
        weights = self._ease_weights(shape)
        rows, columns = np.nonzero(_telling(weights, self.count, shape.keep))
        lengths = np.zeros(self.num_items, np.int64)
        lengths[self.chosen] = np.bincount(rows, minlength=len(self.chosen))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        cells = (weights[rows, columns], self.chosen[columns].astype(np.int64), offsets)
        return sparse.csr_matrix(cells, shape=(self.num_items, self.num_items))

    def _ease_weights(self, shape: CooccurrenceShape) -> FloatArray:
        gram = self.users.copy()
        if shape.text:
            gram += np.float32(shape.text) * (self.text @ self.text.T)
        gram[np.diag_indices_from(gram)] += shape.ridge
        # A third of the time of a general inverse.
        precision = torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(gram)))
        weights: FloatArray = precision.numpy()
        weights /= -np.diag(weights)
        np.fill_diagonal(weights, 0.0)
        return weights


def user_item_matrix(histories: Histories, num_items: int) -> sparse.csr_matrix:
    """(users, n) float32, 1 where the user has the item; unknown items left out."""
    known = histories.item >= 0
    rows, columns = histories.user[known], histories.item[known]
    shape = (histories.num_users, num_items)
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1.0
    return matrix


def users_of_each(interactions: sparse.csr_matrix) -> FloatArray:
    """(n,) how many users have each item; interactions: see `user_item_matrix`."""
    # Sums of ones in float32 would stop at 2^24.
    return np.bincount(interactions.indices, minlength=interactions.shape[1]).astype(np.float32)


def taken_by_several(count: FloatArray, most: int) -> IntArray:
    """Rows, ascending, of at most so many most frequent items; one user shows too little."""
    chosen = np.sort(np.argsort(-count, kind="stable")[:most]).astype(np.int64)
    return chosen[count[chosen] > 1]


def count_together(histories: Histories, text: FloatArray, *, most_items: int) -> TakenTogether:
    """The `most_items` most frequent items of a log, but those that one user took or none.

    text: (n, d) of all its items, zeros where an item has none. Memory: most_items^2 * 8 bytes.
    """
    interactions = user_item_matrix(histories, len(text))
    count = users_of_each(interactions)
    chosen = taken_by_several(count, most_items)
    taken = interactions[:, chosen]
    return TakenTogether(
        num_items=len(text),
        chosen=chosen,
        count=count[chosen],
        users=(taken.T @ taken).toarray().astype(np.float32),
        text=centred_text(text[chosen]),
    )


def _telling(weights: FloatArray, count: FloatArray, keep: int) -> npt.NDArray[np.bool_]:
    """(m, m) bool: the `keep` * m weights that change scores the most.

    A weight of an item that is in many histories counts in many scores. Of equally many weights,
    the largest of each row lose .007 of EASE's NDCG@10 where these lose nothing (CHANGELOG).
    """
    effect = np.abs(weights) * (count[:, None] ** 0.25).astype(np.float32)
    budget = keep * len(weights)
    if budget >= effect.size:
        kept: npt.NDArray[np.bool_] = weights != 0
        return kept
    return effect >= max(float(np.partition(effect, -budget, axis=None)[-budget]), 1e-30)
