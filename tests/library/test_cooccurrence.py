"""The co-occurrence model: which weights are kept, and how its ridge is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from pwrank.ranker.ridge import FEWEST_EXAMPLES, RIDGES, USUAL, choose_ridge

from pwrank.ranker.batching import training_chunks
from pwrank.ranker.cooccurrence import fit_cooccurrence, user_item_matrix
from pwrank.ranker.examples import window_examples
from pwrank.ranker.history import Histories, group_by_user

ITEMS, USERS = 60, 300


def history(seed=0, noise=0.3) -> Histories:
    """Users of one of six tastes of ten items each, and some items at random."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(USERS), 9)
    own = 10 * (user % 6) + rng.integers(0, 10, len(user))
    item = np.where(rng.random(len(user)) < noise, rng.integers(0, ITEMS, len(user)), own)
    time = np.tile(np.arange(9), USERS) * 100 + rng.integers(0, 90, len(user))
    return group_by_user(user, item, time, num_users=USERS)


def whole(log: Histories, reg: float) -> np.ndarray:
    """EASE as Steck writes it, in double precision."""
    taken = user_item_matrix(log, ITEMS).toarray().astype(np.float64)
    precision = np.linalg.inv(taken.T @ taken + reg * np.eye(ITEMS))
    weights = precision / -np.diag(precision)
    np.fill_diagonal(weights, 0.0)
    return weights


def test_with_room_for_every_weight_it_is_ease_itself():
    log = history()
    found = fit_cooccurrence(log, ITEMS, reg=20, most_items=ITEMS, keep=ITEMS)
    assert np.allclose(found.matrix.toarray(), whole(log, 20), atol=1e-5)


def test_what_is_kept_is_what_changes_scores_the_most():
    log, keep = history(), 12
    found = fit_cooccurrence(log, ITEMS, reg=20, most_items=ITEMS, keep=keep).matrix.toarray()
    expected = whole(log, 20)
    count = np.bincount(log.item, minlength=ITEMS)
    kept = found != 0
    assert kept.sum() == keep * ITEMS
    assert np.allclose(found[kept], expected[kept], atol=1e-5)
    taken = user_item_matrix(log, ITEMS).toarray()
    count = taken.sum(axis=0)
    effect = np.abs(expected) * count[:, None] ** 0.25
    assert effect[kept].min() >= effect[~kept].max() * (1 - 1e-4)
    # The same number of weights, but equally many for every item, tells less of the scores.
    equal = np.zeros_like(expected)
    top = np.argsort(-np.abs(expected), axis=1)[:, :keep]
    np.put_along_axis(equal, top, np.take_along_axis(expected, top, 1), 1)
    lost = np.linalg.norm(taken @ (expected - found))
    assert lost < np.linalg.norm(taken @ (expected - equal))


def test_rare_items_and_too_small_a_log_have_no_weights():
    one = group_by_user(np.array([0, 0]), np.array([1, 2]), np.array([1, 2]), num_users=1)
    assert fit_cooccurrence(one, 5, reg=1, most_items=5, keep=5).matrix.nnz == 0
    found = fit_cooccurrence(history(), ITEMS, reg=20, most_items=10, keep=10).matrix
    assert len(np.unique(found.nonzero()[0])) == 10
    assert set(found.nonzero()[0]) == set(found.nonzero()[1])


def chosen(log: Histories, start=600) -> float:
    examples = window_examples(log, start, cuts=1, splits=0, after=0, rng=np.random.default_rng(0))
    return choose_ridge(log.before(start), log, examples, ITEMS, keep=ITEMS)


def test_the_ridge_that_ranks_what_came_later_best_is_chosen(monkeypatch):
    log, start = history(), 600
    examples = window_examples(log, start, cuts=1, splits=0, after=0, rng=np.random.default_rng(0))
    assert len(examples.user) >= FEWEST_EXAMPLES
    figures = {}
    for ridge in RIDGES:
        monkeypatch.setattr("pwrank.ranker.ridge.RIDGES", (ridge,))
        assert chosen(log) == ridge
        weights = whole(log.before(start), ridge)
        taken = user_item_matrix(log.before(start), ITEMS).toarray()
        scores = np.where(taken > 0, -np.inf, taken @ weights)
        after = user_item_matrix(log.keep(log.timestamp >= start), ITEMS).toarray() * (taken == 0)
        top = np.argsort(-scores, axis=1)[:, :10]
        hits = np.take_along_axis(after, top, 1)[examples.user]
        discount = 1 / np.log2(np.arange(2, 12))
        ideal = np.cumsum(discount)[np.clip(after[examples.user].sum(1).astype(int), 1, 10) - 1]
        figures[ridge] = ((hits @ discount) / ideal).mean()
    monkeypatch.undo()
    assert figures[chosen(log)] == pytest.approx(max(figures.values()), abs=2e-3)
    assert max(figures.values()) > min(figures.values())


def test_too_few_users_choose_nothing():
    few = history().select(np.arange(FEWEST_EXAMPLES - 1))
    assert chosen(few) == USUAL


def test_an_epoch_of_a_long_log_is_some_of_it_and_another_part_every_time():
    log = history()

    def rows(most, seed):
        chunks = training_chunks(
            log, length=5, tokens=50, most=most, rng=np.random.default_rng(seed)
        )
        parts = [np.arange(a, b) for c in chunks for a, b in zip(c.starts, c.ends, strict=True)]
        return np.concatenate(parts)

    everything = rows(10**6, 0)
    assert sorted(everything) == list(range(log.num_interactions))
    one, other = rows(500, 0), rows(500, 1)
    assert 300 < len(one) <= 500 == 50 * 10
    assert len(set(one)) == len(one)
    assert set(one) != set(other)
