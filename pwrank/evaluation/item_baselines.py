"""Item-to-item baselines that collaborative filtering is judged by: item-kNN and EASE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import linalg, sparse

from pwrank.errors import InputError
from pwrank.evaluation.baselines import UserItems
from pwrank.evaluation.scored_lists import Scores, rank_scored, top_columns

EASE_MAX_ITEMS = 10_000
"""EASE inverts an items x items matrix: 400 MB of float32 at this size, some three copies."""

_NEIGHBOUR_BLOCK = 512
"""Items whose neighbours are computed together."""


@dataclass(frozen=True)
class LinearItems:
    """Score = the user's row times an items x items matrix: item-kNN and EASE."""

    history: UserItems
    weights: sparse.csr_matrix | npt.NDArray[np.float32]
    """(items, items): column j says how much each history item speaks for j."""
    exclude_seen: bool

    def rank(self, users: pl.Series, *, k: int) -> pl.DataFrame:
        """See `Baseline.rank`."""

        def scores(_batch: pl.Series, rows: sparse.csr_matrix) -> Scores:
            product = rows @ self.weights
            dense = product.toarray() if sparse.issparse(product) else product
            return np.asarray(dense, dtype=np.float32)

        return rank_scored(self.history, users, scores, k=k, exclude_seen=self.exclude_seen)


def item_knn(
    history: UserItems, *, neighbours: int = 100, shrinkage: float = 0.0, exclude_seen: bool = True
) -> LinearItems:
    """Item-kNN (Sarwar et al. 2001): cosine of co-occurrence, the nearest neighbours of each item.

    cosine(i, j) = |users of both| / (sqrt(|users of i| |users of j|) + shrinkage).
    """
    users_items = history.matrix.tocsc()
    users_per_item = np.maximum(np.asarray(history.matrix.sum(axis=0)).ravel(), 1e-9)
    columns = []
    for start in range(0, users_items.shape[1], _NEIGHBOUR_BLOCK):
        block = users_items[:, start : start + _NEIGHBOUR_BLOCK]
        together = (block.T @ users_items).toarray()
        norm = np.sqrt(np.outer(users_per_item[start : start + block.shape[1]], users_per_item))
        cosine = (together / (norm + shrinkage)).astype(np.float32)
        cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = 0.0
        nearest = top_columns(cosine, neighbours)
        kept = np.take_along_axis(cosine, nearest, axis=1)
        row = np.repeat(np.arange(len(cosine)), nearest.shape[1])
        cell = (kept.ravel(), (row, nearest.ravel()))
        columns.append(sparse.csr_matrix(cell, shape=cosine.shape))
    weights = sparse.csr_matrix(sparse.vstack(columns).T)
    weights.eliminate_zeros()
    return LinearItems(history, weights, exclude_seen)


def ease(
    history: UserItems, *, regularisation: float = 500.0, exclude_seen: bool = True
) -> LinearItems:
    """EASE (Steck 2019): B = I - P / diag(P), P = (X'X + regularisation I)^-1, zero diagonal.

    Raises InputError above EASE_MAX_ITEMS items.
    """
    items = len(history.items)
    if items > EASE_MAX_ITEMS:
        raise InputError(f"EASE: {items} items are more than {EASE_MAX_ITEMS}; use item-kNN")
    gram = (history.matrix.T @ history.matrix).toarray().astype(np.float32)
    gram[np.diag_indices(items)] += np.float32(regularisation)
    # Symmetric and positive definite: Cholesky takes half the time of a general inverse.
    factor, _ = linalg.lapack.spotrf(gram, lower=True, overwrite_a=True)
    inverse, _ = linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = -inverse / np.diag(inverse)[None, :]
    weights[np.diag_indices(items)] = 0.0
    return LinearItems(history, weights.astype(np.float32), exclude_seen)
