"""Held-out examples: a history as it was, and what came after it.

They are what validation, early stopping and the point-wise ranker learn from, in the form that the
nightly run meets: everything up to a moment is known, what follows is to be ranked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pwrank.errors import InputError
from pwrank.ranker.history import Histories, IntArray


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

    def blocks(self, size: int) -> Iterator[Examples]:
        """All of them in their order, at most `size` at a time."""
        for first in range(0, len(self.end), size):
            yield self.take(np.arange(first, min(first + size, len(self.end))))


def known_log(histories: Histories, cut: int) -> Histories:
    """What training may read: known items before the cut (unix seconds).

    Raises InputError where there is nothing to learn from.
    """
    log = histories.keep((histories.timestamp < cut) & (histories.item >= 0))
    if log.num_interactions == 0:
        message = "no interactions with known items before the cut: nothing to train on"
        raise InputError(message)
    return log


def prefixes(log: Histories, examples: Examples) -> Histories:
    """The histories of the examples, as users 0..e-1."""
    begin = log.offsets[examples.user]
    lengths = examples.end - begin
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], lengths)
    return Histories(
        offsets,
        log.item[rows],
        log.timestamp[rows],
        log.event[rows],
        log.rating[rows],
        log.weight[rows],
    )


def targets(
    log: Histories, examples: Examples, num_items: int, *, repeats: bool = False
) -> sparse.csr_matrix:
    """(e, n) float32: 1 for items that followed; without `repeats`, new ones only."""
    lengths = examples.stop - examples.end
    rows = np.repeat(np.arange(len(lengths)), lengths)
    first = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    taken = np.arange(len(rows)) + np.repeat(examples.end - first, lengths)
    shape = (len(lengths), num_items)
    after = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, log.item[taken])), shape=shape
    )
    after.data[:] = 1.0
    if repeats:
        return after
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


def window_examples(
    log: Histories, start: int, *, cuts: int, splits: int, after: int, rng: np.random.Generator
) -> Examples:
    """Examples from the window that begins at `start` (unix seconds).

    Users known before are split at each of `cuts` moments, as the nightly run would meet them.
    Those who came later are split at `splits` random rows with the next `after` rows to find, so
    that a log whose users come once and stay for an hour has examples too.
    """
    later = np.sort(log.timestamp[log.timestamp >= start])
    moments = [start, *(int(later[len(later) * part // cuts]) for part in range(1, cuts))]
    known = [_split_at(log, moment) for moment in np.unique(moments).tolist()]
    return join([*known, _split_newcomers(log, start, splits, after, rng)])


def join(parts: list[Examples]) -> Examples:
    """All examples of the parts, in order."""
    return Examples(
        *(
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("user", "end", "stop", "at")
        )
    )


def _split_at(log: Histories, moment: int) -> Examples:
    """Users with rows both before and from the moment on."""
    after = np.bincount(log.user[log.timestamp >= moment], minlength=log.num_users)
    users = np.flatnonzero((after > 0) & (after < log.lengths))
    stop = log.offsets[1:][users]
    return Examples(users, stop - after[users], stop, np.full(len(users), moment, np.int64))


def _split_newcomers(
    log: Histories, start: int, splits: int, after: int, rng: np.random.Generator
) -> Examples:
    """Users without a row before `start`, split at random rows, the first among them.

    So what is ranked for somebody of whom nothing is known is learned, too.
    """
    later = np.bincount(log.user[log.timestamp >= start], minlength=log.num_users)
    users = np.repeat(np.flatnonzero((later == log.lengths) & (later > 1)), splits)
    jump = rng.integers(0, log.lengths[users])
    end = log.offsets[users] + jump
    end, first = np.unique(end, return_index=True)
    users = users[first]
    stop = np.minimum(end + after, log.offsets[users + 1])
    return Examples(users, end, stop, log.timestamp[end] if len(end) else end)


def sample(examples: Examples, most: int, rng: np.random.Generator) -> Examples:
    """At most so many examples, in their order."""
    if len(examples.user) <= most:
        return examples
    return examples.take(np.sort(rng.choice(len(examples.user), most, replace=False)))


def at_few_moments(examples: Examples, most: int) -> Examples:
    """Moments moved back onto at most `most` of them: popularity is computed once for each."""
    moments = np.unique(examples.at)
    if len(moments) > most:
        # The moments shared by most examples stay; the rest move to an earlier quantile.
        common, count = np.unique(examples.at, return_counts=True)
        frequent = common[np.argsort(-count, kind="stable")[: most // 2]]
        spread = np.quantile(examples.at, np.linspace(0, 1, most - most // 2)).astype(np.int64)
        moments = np.unique(np.concatenate([frequent, spread]))
    place = np.maximum(np.searchsorted(moments, examples.at, side="right") - 1, 0)
    return Examples(examples.user, examples.end, examples.stop, moments[place])


def active_before(log: Histories, moment: int) -> Examples:
    """Everybody with a history at the moment, also those who took nothing afterwards."""
    later = np.bincount(log.user[log.timestamp >= moment], minlength=log.num_users)
    users = np.flatnonzero(later < log.lengths)
    stop = log.offsets[1:][users]
    return Examples(users, stop - later[users], stop, np.full(len(users), moment, np.int64))
