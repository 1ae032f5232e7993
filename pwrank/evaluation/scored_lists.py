"""Lists from scores over the whole catalogue, a batch of users at a time; ties to the popular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from pwrank.evaluation.baselines import Places, UserItems, codes_of, ranking_frame

Scores = npt.NDArray[np.float32]
"""(users of a batch, items)."""

Vectors = npt.NDArray[np.float32]
"""(rows, dim)."""

SCORE_CELLS = 4_000_000
"""Scores held at once: 16 MB, and some copies while they are ordered."""


@dataclass(frozen=True)
class VectorLists:
    """Score = inner product of a user's and an item's vector: iALS, BPR, SASRec, text."""

    history: UserItems
    users: Vectors
    """(users with history, dim), in the order of `history.users`."""
    items: Vectors
    """(items, dim), in the order of `history.items`."""
    exclude_seen: bool

    def rank(self, users: pl.Series, *, k: int) -> pl.DataFrame:
        """See `Baseline.rank`; a user without a vector gets the popular items."""

        def scores(batch: pl.Series, _rows: sparse.csr_matrix) -> Scores:
            codes = codes_of(batch, self.history.users)
            vectors = np.where(codes[:, None] >= 0, self.users[codes], np.float32(0.0))
            return np.asarray(vectors @ self.items.T, dtype=np.float32)

        return rank_scored(self.history, users, scores, k=k, exclude_seen=self.exclude_seen)


def rank_scored(
    history: UserItems,
    users: pl.Series,
    scores: Callable[[pl.Series, sparse.csr_matrix], Scores],
    *,
    k: int,
    exclude_seen: bool,
) -> pl.DataFrame:
    """Lists of the best k, `user_id, rank, item_id`.

    scores: (users of a batch, their rows of the history) -> (users, items).
    """
    size = max(1, SCORE_CELLS // max(len(history.items), 1))
    parts = []
    for start in range(0, len(users), size):
        batch = users.slice(start, size)
        rows = history.rows(batch)
        scored = scores(batch, rows)
        if exclude_seen:
            scored[rows.nonzero()] = -np.inf
        parts.append(ranking_frame(batch, history.items, top_columns(scored, k)))
    return pl.concat(parts) if parts else ranking_frame(users, history.items, _no_places())


def top_columns(scores: Scores, k: int) -> Places:
    """(users, min(k, items)) columns by falling score, ties to the lower column; -1 where -inf."""
    users, items = scores.shape
    k = min(k, items)
    threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k] if k else scores[:, :0]
    above, equal = scores > threshold, scores == threshold
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= room))
    columns = np.nonzero(chosen)[1].reshape(users, k)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    shown = np.isfinite(np.take_along_axis(values, order, axis=1))
    return np.where(shown, columns, -1)


def _no_places() -> Places:
    return np.zeros((0, 0), np.int64)
