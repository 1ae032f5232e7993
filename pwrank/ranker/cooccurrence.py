"""What was taken together: EASE, cut to its strongest entries so that it stays small.

EASE (Steck, WWW 2019) is the best item-to-item model in closed form. Its scores are features of
the point-wise ranker, which thereby starts where the best collaborative baseline ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pwrank.ranker.history import FloatArray, Histories, IntArray


@dataclass(frozen=True)
class Cooccurrence:
    """Sparse item-to-item weights; row = history item, column = item it speaks for."""

    offsets: IntArray
    """(n + 1,) int64."""
    item: IntArray
    """(k,) int64: columns, ascending in each row."""
    weight: FloatArray
    """(k,) float32."""

    @property
    def matrix(self) -> sparse.csr_matrix:
        """(n, n) scipy CSR sharing these arrays."""
        n = len(self.offsets) - 1
        return sparse.csr_matrix((self.weight, self.item, self.offsets), shape=(n, n))


def user_item_matrix(histories: Histories, num_items: int) -> sparse.csr_matrix:
    """(users, n) float32, 1 where the user has the item; unknown items left out."""
    known = histories.item >= 0
    rows, columns = histories.user[known], histories.item[known]
    shape = (histories.num_users, num_items)
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1.0
    return matrix


def fit_cooccurrence(
    histories: Histories, num_items: int, *, reg: float, most_items: int, keep: int
) -> Cooccurrence:
    """EASE on the `most_items` most frequent items, cut to `keep` weights per item on average.

    Memory: most_items^2 * 16 bytes. Items seen by fewer than two users get no row.
    """
    interactions = user_item_matrix(histories, num_items)
    count = np.asarray(interactions.sum(axis=0)).ravel()
    chosen = np.sort(np.argsort(-count, kind="stable")[:most_items])
    chosen = chosen[count[chosen] >= 2]  # noqa: PLR2004 - one user shows no co-occurrence
    if len(chosen) == 0:
        return Cooccurrence(
            np.zeros(num_items + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        )
    weights = _ease_weights(interactions[:, chosen], reg)
    kept = _telling(weights, count[chosen], keep)
    rows, columns = np.nonzero(kept)
    lengths = np.zeros(num_items, np.int64)
    lengths[chosen] = np.bincount(rows, minlength=len(chosen))
    return Cooccurrence(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item=chosen[columns].astype(np.int64),
        weight=weights[rows, columns],
    )


def _ease_weights(interactions: sparse.csr_matrix, reg: float) -> FloatArray:
    gram = (interactions.T @ interactions).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += reg
    weights: FloatArray = np.linalg.inv(gram)
    weights /= -np.diag(weights)
    np.fill_diagonal(weights, 0.0)
    return weights


def _telling(weights: FloatArray, count: FloatArray, keep: int) -> npt.NDArray[np.bool_]:
    """(n, n) bool: the `keep` * n weights that change scores the most.

    A weight of an item that is in many histories counts in many scores. Of equally many weights,
    the largest of each row lose .007 of EASE's NDCG@10 where these lose nothing (CHANGELOG).
    """
    effect = np.abs(weights) * (count[:, None] ** 0.25).astype(np.float32)
    budget = keep * len(weights)
    if budget >= effect.size:
        kept: npt.NDArray[np.bool_] = weights != 0
        return kept
    return effect >= max(float(np.partition(effect, -budget, axis=None)[-budget]), 1e-30)
