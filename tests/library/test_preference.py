"""Heads `like` and `rating`: they find a taste, know whom they do not know, repeat themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pwrank.evaluation.pointwise_metrics import auc, rmse
from pwrank.ranker.examples import prefixes
from pwrank.ranker.history import Histories, group_by_user
from pwrank.ranker.item_encoder import ItemInputs
from pwrank.ranker.preference import PreferenceModel
from pwrank.ranker.preference_training import (
    STARTS,
    PreferenceTask,
    fit_preference,
    like_threshold,
    logistic_weights,
    rated_examples,
    starts_for,
)
from pwrank.ranker.taste_factors import Beliefs, believe, rated_by

USERS, ITEMS, KNOWN = 120, 60, 18
DAY = 86_400


def inputs(items: int = ITEMS) -> ItemInputs:
    """Even and odd items, told apart by their text; item 0 is nobody's but has a text."""
    rng = np.random.default_rng(1)
    text = rng.normal(size=(items, 12)).astype(np.float32) * 0.2
    text[:, 0] += np.where(np.arange(items) % 2, 1.0, -1.0)
    return ItemInputs(
        text=torch.from_numpy(text),
        identity=torch.arange(1, items + 1),
        category_offsets=torch.arange(items + 1),
        category_labels=torch.arange(items) % 3,
    )


def world() -> tuple[Histories, Histories]:
    """Two thirds of each user's ratings, and the last third; 1 to 5, by taste and by item."""
    rng = np.random.default_rng(2)
    item = np.concatenate([1 + rng.permutation(ITEMS - 1)[: KNOWN + 9] for _ in range(USERS)])
    user = np.repeat(np.arange(USERS), KNOWN + 9)
    match = np.where(item % 2 == user % 2, 1.0, -1.0)
    bias = rng.normal(size=ITEMS) * 0.4
    stars = 3.2 + 1.1 * match + bias[item] + rng.normal(size=len(item)) * 0.6
    rating = np.clip(np.round(stars), 1, 5).astype(np.float32)
    log = group_by_user(
        user, item, rng.integers(0, 90 * DAY, len(user)), num_users=USERS, rating=rating
    )
    place = np.arange(log.num_interactions) - log.offsets[log.user]
    return log.keep(place < KNOWN), log.keep(place >= KNOWN)


KNOWN_LOG, LATER = world()
TASK = PreferenceTask(
    log=KNOWN_LOG,
    inputs=inputs(),
    categories=2,
    threshold=None,
    factors=4,
    rounds=12,
    examples=500,
    seed=3,
)
START = 50 * DAY


@pytest.fixture(scope="module")
def model() -> PreferenceModel:
    fitted, _ = fit_preference(TASK, START)
    assert fitted is not None
    return fitted


def told(model: PreferenceModel, log: Histories = KNOWN_LOG) -> tuple[np.ndarray, np.ndarray]:
    """Like and rating of the later pairs; everybody has nine of them."""
    candidates = LATER.item.reshape(USERS, 9)
    scores = model.score(log, model.items(TASK.inputs), candidates)
    return scores.like.ravel(), scores.rating.ravel()


def biases_alone() -> np.ndarray:
    """Mean of the item plus how far the user is above the mean, both known exactly enough."""
    level = KNOWN_LOG.rating.mean()
    item = np.bincount(KNOWN_LOG.item, KNOWN_LOG.rating - level, ITEMS)
    item /= np.bincount(KNOWN_LOG.item, minlength=ITEMS) + 3
    left = KNOWN_LOG.rating - level - item[KNOWN_LOG.item]
    user = np.bincount(KNOWN_LOG.user, left, USERS) / (KNOWN + 3)
    return level + user[LATER.user] + item[LATER.item]


def test_later_ratings_are_foretold_better_than_by_the_means_of_user_and_item(model) -> None:
    like, rating = told(model)
    liked = LATER.rating >= model.scale[2]
    assert rmse(LATER.rating, rating) < 0.85 * rmse(LATER.rating, biases_alone())
    assert auc(liked, like) > auc(liked, biases_alone()) + 0.1


def test_a_like_is_a_probability_and_a_rating_lies_on_the_scale(model) -> None:
    like, rating = told(model)
    liked = (LATER.rating >= model.scale[2]).mean()
    assert ((like > 0) & (like < 1)).all()
    assert like.mean() == pytest.approx(liked, abs=0.06)
    assert rating.min() >= 1
    assert rating.max() <= 5


def test_an_item_that_nobody_rated_is_judged_by_its_text(model) -> None:
    nobody_has = np.zeros((USERS, 1), np.int64)
    rating = model.score(KNOWN_LOG, model.items(TASK.inputs), nobody_has).rating.ravel()
    even = np.arange(USERS) % 2 == 0
    assert rating[even].mean() > rating[~even].mean() + 0.5


def test_the_rating_is_the_mean_of_several_starts_and_their_quarrel_is_doubt(model) -> None:
    assert len(model.stars) == STARTS
    candidates = LATER.item.reshape(USERS, 9)

    def alone(number: int) -> np.ndarray:
        one = replace(model, stars=(model.stars[number],))
        return one.like_evidence(KNOWN_LOG, one.items(TASK.inputs), candidates)[1]

    each = np.stack([alone(number) for number in range(STARTS)])
    evidence, mean = model.like_evidence(KNOWN_LOG, model.items(TASK.inputs), candidates)
    assert each.std(axis=0).min() > 0
    assert np.allclose(mean, each.mean(axis=0))
    agreed = replace(model, stars=(model.stars[0],) * STARTS)
    sure, _ = agreed.like_evidence(KNOWN_LOG, agreed.items(TASK.inputs), candidates)
    one = replace(model, stars=model.stars[:1])
    only, _ = one.like_evidence(KNOWN_LOG, one.items(TASK.inputs), candidates)
    assert np.allclose(sure, only)
    assert not np.allclose(evidence[..., 0], sure[..., 0])


@pytest.mark.parametrize(
    ("ratings", "starts"), [(1, 4), (250_000, 4), (400_000, 2), (10**6, 1), (10**8, 1)]
)
def test_a_long_log_has_fewer_starts(ratings: int, starts: int) -> None:
    assert starts_for(ratings) == starts


def test_a_user_and_an_item_never_met_get_finite_scores(model) -> None:
    stranger = replace(inputs(1), identity=torch.zeros(1, dtype=torch.long))
    nobody = KNOWN_LOG.keep(np.zeros(KNOWN_LOG.num_interactions, bool))
    scores = model.score(nobody, model.items(stranger), np.zeros((USERS, 1), np.int64))
    assert np.isfinite(scores.like).all()
    assert np.isfinite(scores.rating).all()
    assert len(np.unique(scores.rating)) == 1


def test_what_a_user_rated_after_training_counts_without_a_new_training(model) -> None:
    turned = replace(KNOWN_LOG, rating=(6 - KNOWN_LOG.rating).astype(np.float32))
    _, before = told(model)
    _, after = told(model, turned)
    own = LATER.item % 2 == LATER.user % 2
    assert before[own].mean() > after[own].mean() + 1


def test_a_log_without_ratings_teaches_nothing() -> None:
    unrated = np.full(KNOWN_LOG.num_interactions, np.nan, np.float32)
    task = replace(TASK, log=replace(KNOWN_LOG, rating=unrated))
    assert fit_preference(task, START) == (None, {})


@pytest.mark.parametrize("start", [0, 1000 * DAY])
def test_nothing_before_or_after_the_window_still_gives_heads(start: int) -> None:
    fitted, figures = fit_preference(TASK, start)
    assert fitted is not None
    assert figures == {"rating_rounds": 12.0}
    assert all(np.isfinite(values).all() for values in told(fitted))


def test_one_rating_and_one_value_only_are_learned_from() -> None:
    for log in (
        KNOWN_LOG.keep(np.arange(KNOWN_LOG.num_interactions) == 5),
        replace(KNOWN_LOG, rating=np.full(KNOWN_LOG.num_interactions, 4, np.float32)),
    ):
        fitted, _ = fit_preference(replace(TASK, log=log), START)
        assert fitted is not None
        assert all(np.isfinite(values).all() for values in told(fitted))


def test_the_same_seed_gives_the_same_heads_and_they_survive_the_disk(model) -> None:
    again, _ = fit_preference(TASK, START)
    kept = PreferenceModel.from_tensors(model.to_tensors())
    for other in (again, kept):
        assert all(np.array_equal(*pair) for pair in zip(told(model), told(other), strict=True))


def test_a_row_is_learned_from_with_what_was_known_then_and_at_the_start_of_the_window() -> None:
    examples = rated_examples(KNOWN_LOG, START, 40, np.random.default_rng(0))
    lately, long_ago = examples.take(np.arange(40)), examples.take(np.arange(40, 80))
    assert np.array_equal(lately.end, lately.stop - 1)
    assert np.array_equal(lately.stop, long_ago.stop)
    assert (prefixes(KNOWN_LOG, long_ago).timestamp < START).all()
    before = KNOWN_LOG.before(START).lengths
    assert np.array_equal(prefixes(KNOWN_LOG, long_ago).lengths, before[long_ago.user])


def test_who_comes_anew_is_calibrated_apart_from_who_stays() -> None:
    """In the window the users of the first half begin and rate what they rate 1.5 higher."""
    newcomer = KNOWN_LOG.user < USERS // 2
    lifted = np.clip(KNOWN_LOG.rating + 1.5 * newcomer, 1, 5).astype(np.float32)
    log = replace(KNOWN_LOG, rating=lifted).keep(~newcomer | (KNOWN_LOG.timestamp >= START))
    fitted, _ = fit_preference(replace(TASK, log=log), START)
    assert fitted is not None
    items = fitted.items(TASK.inputs)
    everything = np.arange(1, ITEMS)[None, :]
    nobody = log.select(np.array([0])).before(0)
    stranger = fitted.score(nobody, items, everything).like.mean()
    plain = replace(fitted, weights=fitted.weights * np.array([1, 1, 1, 0], np.float32))
    assert stranger > plain.score(nobody, items, everything).like.mean() + 0.1


def test_the_threshold_is_the_top_of_the_scale_or_what_is_told() -> None:
    assert like_threshold(KNOWN_LOG, None) == pytest.approx(4.2)
    assert like_threshold(KNOWN_LOG, 3.0) == 3.0


def test_a_logistic_regression_finds_the_weights_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    columns = np.column_stack([np.ones(20_000), rng.normal(size=(20_000, 3))])
    wanted = np.array([-0.5, 1.2, 0.7, 0.3])
    label = (rng.random(20_000) < 1 / (1 + np.exp(-columns @ wanted))).astype(float)
    assert logistic_weights(columns, label) == pytest.approx(wanted, abs=0.1)


def test_the_expected_error_is_that_of_the_beliefs() -> None:
    """Told by the posterior's moments, against the plain formula pair by pair."""
    rng = np.random.default_rng(5)
    width, shape = 4, (7, 6)
    row, column = (pair.ravel()[rng.permutation(42)[:25]] for pair in np.indices(shape))
    value = rng.normal(size=25)
    spread = rng.normal(size=(6, width, width))
    given = Beliefs(rng.normal(size=(6, width)), spread @ spread.transpose(0, 2, 1) * 0.1)
    prior = rng.uniform(0.5, 2.0, width)
    found, error = believe(rated_by(row, column, value, shape), given, np.ones(width), prior, 0.7)
    design, second, cross = given.as_design()
    other = design[column]
    bias = given.mean[column, 0]
    mean = found.mean[row]
    squares = found.covariance[row] + mean[:, :, None] * mean[:, None, :]
    expected = (
        (value - bias) ** 2
        + given.covariance[column, 0, 0]
        - 2 * (((value - bias)[:, None] * other - cross[column]) * mean).sum(axis=1)
        + (squares.reshape(25, -1) * second[column]).sum(axis=1)
    )
    assert error == pytest.approx(expected.sum())
