"""The co-occurrence model: which weights are kept, and how its ridge is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from pwrank.config import TrainConfig
from pwrank.ranker import cooccurrence_choice
from pwrank.ranker.batching import training_chunks
from pwrank.ranker.catalogue import centred_text
from pwrank.ranker.cooccurrence import (
    CooccurrenceShape,
    count_together,
    user_item_matrix,
)
from pwrank.ranker.cooccurrence_choice import (
    FEWEST_EXAMPLES,
    LONG_HISTORY,
    MOST_KEPT,
    MOST_WEIGHTS,
    RIDGES,
    TEXTS,
    USUAL,
    choose_shape,
    grid_of,
    shape_of,
    usual_shape,
)
from pwrank.ranker.examples import window_examples
from pwrank.ranker.history import Histories, group_by_user

ITEMS, USERS = 60, 300
NO_TEXT = np.zeros((ITEMS, 4), np.float32)


def history(seed=0, noise=0.3) -> Histories:
    """Users of one of six tastes of ten items each, and some items at random."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(USERS), 9)
    own = 10 * (user % 6) + rng.integers(0, 10, len(user))
    item = np.where(rng.random(len(user)) < noise, rng.integers(0, ITEMS, len(user)), own)
    time = np.tile(np.arange(9), USERS) * 100 + rng.integers(0, 90, len(user))
    return group_by_user(user, item, time, num_users=USERS)


def tastes_told() -> np.ndarray:
    """Texts of items: those of one taste read much alike. (ITEMS, 8) of unit length."""
    rng = np.random.default_rng(3)
    text = rng.normal(size=(6, 8))[np.arange(ITEMS) // 10] + 0.3 * rng.normal(size=(ITEMS, 8)) + 1
    return (text / np.linalg.norm(text, axis=1, keepdims=True)).astype(np.float32)


def fit(log: Histories, reg: float, *, keep: int, items: int = ITEMS, most: int = ITEMS):
    together = count_together(log, np.zeros((items, 4), np.float32), most_items=most)
    return together.weights(CooccurrenceShape(reg, 0.0, keep))


def whole(log: Histories, reg: float, text: np.ndarray | None = None) -> np.ndarray:
    """EASE as Steck writes it, in double precision. text: (ITEMS, d), of users more."""
    taken = user_item_matrix(log, ITEMS).toarray().astype(np.float64)
    gram = taken.T @ taken + reg * np.eye(ITEMS)
    precision = np.linalg.inv(gram if text is None else gram + text @ text.T)
    weights = precision / -np.diag(precision)
    np.fill_diagonal(weights, 0.0)
    return weights


def test_with_room_for_every_weight_it_is_ease_itself():
    log = history()
    found = fit(log, 20, keep=ITEMS)
    assert np.allclose(found.toarray(), whole(log, 20), atol=1e-5)


def test_what_is_kept_is_what_changes_scores_the_most():
    log, keep = history(), 12
    found = fit(log, 20, keep=keep).toarray()
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
    assert fit(one, 1, keep=5, items=5, most=5).nnz == 0
    found = fit(history(), 20, keep=10, most=10)
    assert len(np.unique(found.nonzero()[0])) == 10
    assert set(found.nonzero()[0]) == set(found.nonzero()[1])


def test_a_text_counts_as_users_more_who_took_what_reads_alike():
    log, text = history(), tastes_told()
    together = count_together(log, text, most_items=ITEMS)
    found = together.weights(CooccurrenceShape(20, 50.0, ITEMS)).toarray()
    apart = centred_text(text)
    assert np.allclose(found, whole(log, 20, np.sqrt(50.0) * apart), atol=1e-5)
    plain = together.weights(CooccurrenceShape(20, 0.0, ITEMS)).toarray()
    alike = (apart @ apart.T > 0.5) & ~np.eye(ITEMS, dtype=bool)
    assert found[alike].mean() > plain[alike].mean()


def test_the_most_frequent_of_what_was_counted_is_what_would_have_been_counted():
    log, text = history(), tastes_told()
    few = count_together(log, text, most_items=ITEMS).most_frequent(20)
    expected = count_together(log, text, most_items=20)
    assert np.array_equal(few.chosen, expected.chosen)
    assert np.array_equal(few.users, expected.users)
    assert np.array_equal(few.count, expected.count)


START = 600


def examples_of(log: Histories):
    return window_examples(log, START, cuts=1, splits=0, after=0, rng=np.random.default_rng(0))


def chosen(log: Histories, texts=NO_TEXT, **grid) -> CooccurrenceShape:
    together = count_together(log.before(START), texts, most_items=ITEMS)
    usual = CooccurrenceShape(300.0, 0.0, ITEMS)
    return choose_shape(together, log, examples_of(log), usual, grid)


def figure(log: Histories, weights: np.ndarray) -> float:
    """NDCG@10 of what came after START, by these weights."""
    taken = user_item_matrix(log.before(START), ITEMS).toarray()
    scores = np.where(taken > 0, -np.inf, taken @ weights)
    after = user_item_matrix(log.keep(log.timestamp >= START), ITEMS).toarray() * (taken == 0)
    top, users = np.argsort(-scores, axis=1)[:, :10], examples_of(log).user
    hits = np.take_along_axis(after, top, 1)[users]
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = np.cumsum(discount)[np.clip(after[users].sum(1).astype(int), 1, 10) - 1]
    return float(((hits @ discount) / ideal).mean())


def test_the_ridge_that_ranks_what_came_later_best_is_chosen():
    log = history()
    assert len(examples_of(log).user) >= FEWEST_EXAMPLES
    past = log.before(START)
    figures = {ridge: figure(log, whole(past, ridge)) for ridge in (300.0, *RIDGES)}
    best = chosen(log, ridge=RIDGES)
    assert (best.text, best.keep) == (0.0, ITEMS)
    assert figures[best.ridge] == pytest.approx(max(figures.values()), abs=2e-3)
    assert max(figures.values()) > min(figures.values())


def test_texts_are_worth_something_where_they_tell_the_taste_and_nothing_where_they_do_not():
    log = history(noise=0.6)
    assert chosen(log, tastes_told(), text=TEXTS).text > 0
    # Another item's text: what reads alike belongs to different tastes.
    mixed = tastes_told()[np.random.default_rng(0).permutation(ITEMS)]
    assert chosen(log, mixed, text=TEXTS).text == 0
    assert chosen(log, NO_TEXT, text=TEXTS).text == 0


def test_more_weights_are_kept_only_where_they_rank_better():
    log = history()
    together = count_together(log.before(START), NO_TEXT, most_items=ITEMS)
    usual = CooccurrenceShape(100.0, 0.0, 2)
    best = choose_shape(together, log, examples_of(log), usual, {"keep": (ITEMS,)})
    few, all_of_them = (
        figure(log, together.weights(CooccurrenceShape(100.0, 0.0, keep)).toarray())
        for keep in (2, ITEMS)
    )
    assert few != all_of_them
    assert best.keep == (ITEMS if all_of_them > few else 2)


def test_what_is_configured_is_not_chosen():
    config = TrainConfig(ease_reg=7.0, ease_text=0.0, ease_keep=12)
    assert usual_shape(config) == CooccurrenceShape(7.0, 0.0, 12)
    assert not any(grid_of(config, 1000).values())
    log = history()
    rng = np.random.default_rng(0)
    shape = shape_of(config, log.before(START), log, START, tastes_told(), rng)
    assert shape == usual_shape(config)


def test_a_wide_model_keeps_no_more_weights_than_scoring_can_read():
    assert grid_of(TrainConfig(), 1000)["keep"] == (MOST_KEPT,)
    wide = MOST_WEIGHTS // 200
    assert grid_of(TrainConfig(), wide)["keep"] == (200,)
    assert grid_of(TrainConfig(), MOST_WEIGHTS // USUAL.keep)["keep"] == ()


def test_too_few_users_choose_nothing():
    few = history().select(np.arange(FEWEST_EXAMPLES - 1))
    rng = np.random.default_rng(0)
    assert shape_of(TrainConfig(), few.before(START), few, START, tastes_told(), rng) == USUAL


@pytest.mark.parametrize("many", [True, False])
def test_who_had_little_has_no_say_where_enough_had_more(monkeypatch, many):
    told = []
    monkeypatch.setattr(cooccurrence_choice, "choose_shape", lambda *given: told.append(given[2]))
    log = history()
    cut = 450 if many else 250  # by when one in two had five; everybody two or three
    rng = np.random.default_rng(0)
    shape_of(TrainConfig(), log.before(cut), log, cut, NO_TEXT, rng)
    had = told[0].end - log.offsets[told[0].user]
    everybody = np.bincount(log.user[log.timestamp < cut])
    assert 0 < len(had) < len(everybody) or not many
    assert sorted(had) == sorted(everybody[everybody >= LONG_HISTORY] if many else everybody)


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
