"""Co-occurrence weights of rare items: regressions on neighbours, beside EASE between the rest."""

from __future__ import annotations

import numpy as np
import pytest

from pwrank.ranker import rare_cooccurrence
from pwrank.ranker.catalogue import centred_text
from pwrank.ranker.cooccurrence import CooccurrenceShape, count_together, user_item_matrix
from pwrank.ranker.history import Histories, group_by_user
from pwrank.ranker.neighbour_kernels import count_among
from pwrank.ranker.rare_cooccurrence import learn_cooccurrence
from pwrank.ranker.walks import walk_weights

ITEMS, USERS, RIDGE = 50, 400, 20.0
NO_TEXT = np.zeros((ITEMS, 4), np.float32)


def long_tail(seed: int = 0) -> Histories:
    """Two tastes; the further behind in its taste, the rarer an item. The last item: nobody's."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(USERS), 6)
    place = np.minimum(rng.geometric(0.12, len(user)) - 1, ITEMS // 2 - 2)
    item = 2 * place + user % 2
    noise = rng.random(len(user)) < 0.1
    item[noise] = rng.integers(0, ITEMS - 1, noise.sum())
    return group_by_user(user, item, np.arange(len(user)), num_users=USERS)


def learned(log: Histories, exact_items: int, text: np.ndarray = NO_TEXT, worth: float = 0.0):
    shape = CooccurrenceShape(RIDGE, worth, ITEMS)
    return learn_cooccurrence(log, text, shape, exact_items=exact_items).matrix.toarray()


def whole(log: Histories, text: np.ndarray = NO_TEXT, worth: float = 0.0) -> np.ndarray:
    """EASE of every item, in double precision."""
    taken = user_item_matrix(log, ITEMS).toarray().astype(np.float64)
    gram = taken.T @ taken + worth * (text.astype(np.float64) @ text.T) + RIDGE * np.eye(ITEMS)
    precision = np.linalg.inv(gram)
    weights = precision / -np.diag(precision)
    np.fill_diagonal(weights, 0.0)
    return weights


def test_with_every_item_as_a_neighbour_a_regression_finds_what_ease_finds():
    log = long_tail()
    rare, expected = learned(log, exact_items=1), whole(log)
    taken = user_item_matrix(log, ITEMS).toarray()
    together = taken.T @ taken > 0
    assert np.all(rare[~together] == 0)
    # What was never taken together speaks against each other, at most; that is left out.
    largest = np.abs(expected).max()
    assert expected[~together].max() < 0.05 * largest
    assert np.abs(rare - expected)[together].max() < 0.1 * largest
    assert np.corrcoef(rare[together], expected[together])[0, 1] > 0.99


def test_each_column_is_the_ridge_regression_on_its_neighbours(monkeypatch):
    monkeypatch.setattr(rare_cooccurrence, "NEIGHBOURS", 5)
    monkeypatch.setattr(rare_cooccurrence, "BLOCK", 7)
    log = long_tail()
    found = learned(log, exact_items=1)
    taken = user_item_matrix(log, ITEMS).toarray().astype(np.float64)
    count, gram = taken.sum(0), taken.T @ taken
    for item in np.flatnonzero(count):
        cosine = gram[item] / np.sqrt(np.maximum(count, 1))
        cosine[item] = 0
        near = np.flatnonzero(found[:, item])
        assert len(near) == min(5, np.count_nonzero(cosine)) > 0
        others = np.setdiff1d(np.flatnonzero(cosine), near)
        assert len(others) == 0 or cosine[near].min() >= cosine[others].max() - 1e-6
        inner = gram[np.ix_(near, near)] + RIDGE * np.eye(len(near))
        expected = np.linalg.solve(inner, gram[near, item])
        assert np.allclose(found[near, item], expected, atol=1e-5)


def test_between_frequent_items_the_weights_are_exact_and_rare_ones_go_both_ways():
    log, frequent = long_tail(), 20
    together = count_together(log, NO_TEXT, most_items=frequent)
    exact = together.weights(CooccurrenceShape(RIDGE, 0.0, ITEMS)).toarray()
    found, inner = learned(log, exact_items=frequent), np.zeros((ITEMS, ITEMS), bool)
    inner[np.ix_(together.chosen, together.chosen)] = True
    assert np.array_equal(found[inner], exact[inner])
    rare = np.setdiff1d(np.unique(log.item), together.chosen)
    assert np.all(np.count_nonzero(found[:, rare], axis=0) > 0)
    assert np.count_nonzero(found[np.ix_(rare, together.chosen)]) > 0
    assert np.count_nonzero(found[np.ix_(together.chosen, rare)]) > 0
    nobodys = ITEMS - 1
    assert not found[nobodys].any()
    assert not found[:, nobodys].any()


def test_the_walks_are_those_of_the_same_pairs():
    log = long_tail()
    shape = CooccurrenceShape(RIDGE, 0.0, 12)
    found = learn_cooccurrence(log, NO_TEXT, shape, exact_items=20)
    expected = walk_weights(user_item_matrix(log, ITEMS), found.matrix)
    assert np.array_equal(found.walk, expected)
    assert np.count_nonzero(found.walk) > len(found.walk) / 2
    rows = np.repeat(np.arange(ITEMS), np.diff(found.offsets))
    assert np.all((np.diff(rows) > 0) | (np.diff(found.item) > 0))


@pytest.mark.parametrize("ridge", [1e-4, 1e3])
def test_items_that_read_the_same_break_no_ridge(ridge):
    same = np.tile(centred_text(np.random.default_rng(0).normal(size=(ITEMS, 16)))[:1], (ITEMS, 1))
    same[0] = -same[0]
    shape = CooccurrenceShape(ridge, 30.0, ITEMS)
    found = learn_cooccurrence(long_tail(), same.astype(np.float32), shape, exact_items=1)
    assert np.isfinite(found.weight).all()
    assert len(found.weight)


def test_an_item_that_one_user_took_goes_with_what_else_that_user_took():
    user, item = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([0, 1, 0, 1, 0, 1, 7])
    log = group_by_user(user, item, np.arange(7), num_users=3)
    found = learned(log, exact_items=ITEMS)
    assert set(np.flatnonzero(found[:, 7])) == {0, 1}
    assert np.all(found[[0, 1], 7] > 0)


def test_what_reads_alike_is_a_neighbour_though_nobody_took_both():
    user, item = np.repeat(np.arange(8), 2), np.array([0, 1] * 4 + [2, 3] * 4)
    log = group_by_user(user, item, np.arange(16), num_users=8)
    text = np.random.default_rng(0).normal(size=(ITEMS, 16)).astype(np.float32)
    text[3] = text[0]
    text = centred_text(text)
    assert learned(log, exact_items=1)[0, 3] == 0
    found, told = learned(log, 1, text, 30.0), centred_text(text)
    told[4:] = 0
    # EASE has negative weights too, from what reads least alike.
    assert found[0, 3] == pytest.approx(whole(log, told, 30.0)[0, 3], rel=0.02)
    assert found[0, 3] > 0.2


def test_pairs_are_counted_among_the_chosen_alone():
    log = long_tail()
    taken = user_item_matrix(log, ITEMS)
    takers = taken.tocsc()
    chosen = np.array([[4, 0, -1, 9], [-1, 30, 2, 1]])
    out = np.zeros((2, 4, 4), np.float32)
    count_among(takers.indptr.astype(np.int64), takers.indices, USERS, chosen, out)
    gram = (taken.T @ taken).toarray()
    for row, among in zip(chosen, out, strict=True):
        there = row >= 0
        assert np.array_equal(among[np.ix_(there, there)], gram[np.ix_(row[there], row[there])])
        assert not among[~there].any()
        assert not among[:, ~there].any()


def test_a_log_of_nothing_has_no_weights():
    nothing = np.zeros(0, np.int64)
    log = group_by_user(nothing, nothing, nothing, num_users=3)
    assert not learned(log, exact_items=5).any()
