"""The interaction log as columns, grouped by user: what the models read instead of frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
"""Dense indices, offsets or unix seconds."""

FloatArray = npt.NDArray[np.float32]
"""Embeddings, features, weights."""

UNKNOWN_ITEM = -1
"""Item index of an interaction whose item is not in the catalogue."""


@dataclass(frozen=True)
class Histories:
    """Interactions of dense users, sorted by (user, occurred_at, original order).

    User `u` owns rows `offsets[u]:offsets[u + 1]` of every column.
    """

    offsets: IntArray
    """(users + 1,) int64: where each user's rows begin and end."""
    item: IntArray
    """(m,) int64: index into the catalogue, -1 for an unknown item."""
    timestamp: IntArray
    """(m,) int64: unix seconds."""
    event: npt.NDArray[np.int16]
    """(m,) int16: dense event code."""
    rating: FloatArray
    """(m,) float32: NaN where the interaction carries no rating."""
    weight: FloatArray
    """(m,) float32: how much the interaction counts in training."""

    @property
    def num_users(self) -> int:
        """Users, those without any interaction included."""
        return len(self.offsets) - 1

    @property
    def num_interactions(self) -> int:
        """Rows of all users."""
        return len(self.item)

    @property
    def lengths(self) -> IntArray:
        """(users,) int64: interactions of each user."""
        return np.diff(self.offsets)

    @property
    def user(self) -> IntArray:
        """(m,) int64: the user of each row."""
        return np.repeat(np.arange(self.num_users, dtype=np.int64), self.lengths)

    def keep(self, mask: npt.NDArray[np.bool_]) -> Histories:
        """Rows where mask (m,) is true; users keep their number, maybe with no rows left."""
        kept = np.bincount(self.user[mask], minlength=self.num_users)
        offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        return self._take_rows(np.flatnonzero(mask), offsets)

    def before(self, cut: int) -> Histories:
        """Rows with timestamp < cut (unix seconds): what exists for a run as of that time."""
        return self.keep(self.timestamp < cut)

    def select(self, users: IntArray) -> Histories:
        """The given users (b,), in the given order, as users 0..b-1."""
        lengths = self.lengths[users]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.repeat(self.offsets[:-1][users] - offsets[:-1], lengths)
        return self._take_rows(np.arange(offsets[-1], dtype=np.int64) + starts, offsets)

    def last(self, length: int) -> Histories:
        """The newest `length` rows of every user."""
        first = np.maximum(self.offsets[1:] - length, self.offsets[:-1])
        return self.keep(np.arange(self.num_interactions) >= np.repeat(first, self.lengths))

    def filled_up(self, users: int) -> Histories:
        """The same users and, behind them, so many in all who did nothing."""
        missing = np.full(users - self.num_users, self.offsets[-1], np.int64)
        return replace(self, offsets=np.concatenate([self.offsets, missing]))

    def _take_rows(self, rows: IntArray, offsets: IntArray) -> Histories:
        return Histories(
            offsets=offsets,
            item=self.item[rows],
            timestamp=self.timestamp[rows],
            event=self.event[rows],
            rating=self.rating[rows],
            weight=self.weight[rows],
        )


def group_by_user(
    user: IntArray,
    item: IntArray,
    timestamp: IntArray,
    *,
    num_users: int,
    event: npt.NDArray[np.int16] | None = None,
    rating: FloatArray | None = None,
    weight: FloatArray | None = None,
) -> Histories:
    """Sort a log in any order into Histories; equal timestamps keep their original order.

    user, item, timestamp: (m,) int64. Missing columns become event 0, no rating, weight 1.
    """
    order = np.lexsort((np.arange(len(user)), timestamp, user))
    rows = len(user)
    event = np.zeros(rows, np.int16) if event is None else event
    rating = np.full(rows, np.nan, np.float32) if rating is None else rating
    weight = np.ones(rows, np.float32) if weight is None else weight
    counts = np.bincount(user, minlength=num_users)
    return Histories(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        item=item[order].astype(np.int64),
        timestamp=timestamp[order].astype(np.int64),
        event=event[order].astype(np.int16),
        rating=rating[order].astype(np.float32),
        weight=weight[order].astype(np.float32),
    )
