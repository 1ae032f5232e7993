"""Held-out examples: a history as it was, and what came after it.

They are what validation, early stopping and the point-wise ranker learn from, in the form that the
nightly run meets: everything up to a moment is known, what follows is to be ranked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pwrank.history import Histories, IntArray


@dataclass(frozen=True)
class Examples:
    """Example `i`: user `user[i]` having read rows up to `end[i]`, then taking `target` rows."""

    user: IntArray
    """(e,) int64."""
    end: IntArray
    """(e,) int64: first row of the log that is not part of the history."""
    stop: IntArray
    """(e,) int64: rows end..stop of the log are what followed."""
    at: IntArray
    """(e,) int64 unix seconds: what is popular is asked as of this moment."""

    def take(self, index: IntArray) -> Examples:
        """Some examples, in the given order."""
        return Examples(self.user[index], self.end[index], self.stop[index], self.at[index])


def prefixes(log: Histories, examples: Examples) -> Histories:
    """The histories of the examples, as users 0..e-1."""
    begin = log.offsets[examples.user]
    lengths = examples.end - begin
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], lengths)
    return Histories(
        offsets, log.item[rows], log.timestamp[rows], log.event[rows], log.rating[rows],
        log.weight[rows],
    )


def targets(log: Histories, examples: Examples, num_items: int) -> sparse.csr_matrix:
    """(e, n) float32: 1 for items that followed and were not in the history already."""
    lengths = examples.stop - examples.end
    rows = np.repeat(np.arange(len(lengths)), lengths)
    first = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    taken = np.arange(len(rows)) + np.repeat(examples.end - first, lengths)
    shape = (len(lengths), num_items)
    after = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, log.item[taken])), shape=shape)
    after.data[:] = 1.0
    before = seen(log, examples, num_items)
    new = after - after.multiply(before)
    new.eliminate_zeros()
    return sparse.csr_matrix(new)


def seen(log: Histories, examples: Examples, num_items: int) -> sparse.csr_matrix:
    """(e, n) float32: 1 for items in the history."""
    history = prefixes(log, examples)
    rows = np.repeat(np.arange(len(examples.user)), history.lengths)
    shape = (len(examples.user), num_items)
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, history.item)), shape=shape)
    matrix.data[:] = 1.0
    return matrix


def window_start(log: Histories, share: float) -> int:
    """Unix seconds at which the latest `share` of the interactions begins."""
    if log.num_interactions == 0:
        return 0
    ordered = np.sort(log.timestamp)
    return int(ordered[min(int(len(ordered) * (1 - share)), len(ordered) - 1)])


def window_examples(log: Histories, start: int, rng: np.random.Generator) -> Examples:
    """One example per user with rows at or after `start`.

    A user known before is split at `start`. One who came later is split at a random row, so that a
    log whose users come once and stay for an hour has examples too.
    """
    user = log.user
    after = np.bincount(user[log.timestamp >= start], minlength=log.num_users)
    chosen = np.flatnonzero(after > 0)
    stop = log.offsets[1:][chosen]
    end = stop - after[chosen]
    newcomer = (end == log.offsets[chosen]) & (after[chosen] > 1)
    jump = rng.integers(1, np.maximum(after[chosen], 2))
    end = np.where(newcomer, end + jump, end)
    at = np.where(newcomer, log.timestamp[np.minimum(end, log.num_interactions - 1)], start)
    return Examples(chosen.astype(np.int64), end, stop, at.astype(np.int64))
