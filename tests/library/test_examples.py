"""Held-out examples: who is split where."""

from __future__ import annotations

import numpy as np

from pwrank.ranker.examples import prefixes, window_examples
from pwrank.ranker.history import group_by_user

START = 100
KNOWN, NEW, ONCE = range(20), range(20, 40), range(40, 45)


def log():
    """Some users came before the window and in it, some in it alone, and some of these once."""
    user = np.concatenate([np.repeat(KNOWN, 6), np.repeat(NEW, 4), ONCE])
    time = np.concatenate([np.tile(np.arange(6) * 30, 20), START + np.tile(np.arange(4), 20)])
    time = np.concatenate([time, np.full(5, START + 7)])
    item = np.arange(len(user)) % 11
    return group_by_user(user, item, time, num_users=50)


def found(splits=40):
    rng = np.random.default_rng(0)
    return window_examples(log(), START, cuts=1, splits=splits, after=2, rng=rng)


def test_newcomers_are_split_before_each_of_their_rows_and_known_users_at_the_window():
    examples, histories = found(), log()
    had = examples.end - histories.offsets[examples.user]
    for user in KNOWN:
        assert had[examples.user == user].tolist() == [4]
    for user in NEW:
        assert had[examples.user == user].tolist() == [0, 1, 2, 3]
    assert not np.isin(examples.user, ONCE).any()


def test_what_is_to_be_found_comes_after_the_history_and_is_asked_for_at_its_moment():
    examples, histories = found(), log()
    assert (examples.stop > examples.end).all()
    new = np.isin(examples.user, NEW)
    assert (examples.stop - examples.end)[new].max() == 2
    assert (examples.at[new] == histories.timestamp[examples.end[new]]).all()
    assert (examples.at[~new] == START).all()
    assert (
        prefixes(histories, examples).lengths == examples.end - histories.offsets[examples.user]
    ).all()


def test_without_splits_there_are_no_newcomers():
    assert set(found(splits=0).user) == set(KNOWN)
