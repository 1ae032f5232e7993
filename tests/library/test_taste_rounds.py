"""Rounds of the heads of ratings: as many as foretell later ratings best, and no more are tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pwrank.ranker import taste_rounds
from pwrank.ranker.preference_training import (
    factors_of,
    fit_preference,
    rated_examples,
    ratings_of,
    rounds_of,
)
from pwrank.ranker.taste_factors import TasteFactors
from pwrank.ranker.taste_rounds import ROUNDS, USUAL_ROUNDS, Window, choose_rounds, squared_error
from pwrank.ranker.taste_training import fit_taste, no_features
from tests.library.test_preference import DAY, KNOWN_LOG, START, TASK

OPEN = replace(TASK, rounds=None)


@pytest.fixture
def window() -> Window:
    return Window(KNOWN_LOG, TASK.inputs, rated_examples(KNOWN_LOG, START, 200, rng()))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def fitted(rounds: tuple[int, ...]) -> Iterator[TasteFactors]:
    ratings = ratings_of(KNOWN_LOG.before(START))
    side = no_features(TASK.inputs)
    return fit_taste(ratings, TASK.inputs, side, categories=2, factors=4, rounds=rounds, rng=rng())


def test_factors_on_the_way_are_those_of_a_training_that_ends_there() -> None:
    on_the_way = list(fitted((2, 5)))
    for rounds, factors in zip((2, 5), on_the_way, strict=True):
        (alone,) = fitted((rounds,))
        assert np.array_equal(factors.known_mean, alone.known_mean)
        assert np.array_equal(factors.user_variance, alone.user_variance)
    assert not np.array_equal(on_the_way[0].known_mean, on_the_way[1].known_mean)


@pytest.mark.parametrize(
    ("errors", "best", "tried"),
    [
        ((5, 4, 3, 2), 30, 4),
        ((3, 4, 2, 3), 20, 4),
        ((1, 1, 2, 0), 10, 3),
        ((float("nan"),) * 4, 10, 2),
    ],
)
def test_the_smallest_error_wins_and_two_worse_in_a_row_end_the_search(
    monkeypatch, window, errors, best, tried
) -> None:
    asked: list[float] = []

    def error(factors: float, _window: Window) -> float:
        asked.append(factors)
        return factors

    monkeypatch.setattr(taste_rounds, "squared_error", error)
    rounds, factors = choose_rounds(iter(errors), window, ROUNDS)
    assert (rounds, len(asked)) == (best, tried)
    assert factors is errors[ROUNDS.index(best)]


def test_the_error_is_that_of_the_later_ratings_alone(window) -> None:
    (factors,) = fitted((12,))
    error = squared_error(factors, window)
    rows = window.examples.stop - 1
    spread = KNOWN_LOG.rating[rows].var()
    assert 0.2 < error < spread
    shifted = KNOWN_LOG.rating.copy()
    shifted[rows] += 1000.0
    later = np.zeros(len(shifted), bool)
    later[rows] = True
    alone = replace(KNOWN_LOG, rating=np.where(later, KNOWN_LOG.rating, np.nan))
    assert squared_error(factors, replace(window, log=alone)) > error  # histories count
    assert squared_error(factors, replace(window, log=replace(KNOWN_LOG, rating=shifted))) > 1e5


def test_what_was_chosen_is_what_both_heads_have(monkeypatch) -> None:
    falling = itertools.count(0, -1)
    monkeypatch.setattr(taste_rounds, "squared_error", lambda *_: float(next(falling)))
    rounds = rounds_of(OPEN, START)
    assert rounds == ROUNDS[-1]
    model, figures = fit_preference(OPEN, START)
    assert model is not None
    assert figures["rating_rounds"] == rounds
    alone = factors_of(OPEN, KNOWN_LOG, rounds)
    assert np.array_equal(model.stars[0].known_mean, alone.known_mean)


def test_a_number_that_is_given_is_taken_and_a_log_without_a_past_has_the_usual() -> None:
    assert rounds_of(TASK, START) == TASK.rounds == 12
    assert rounds_of(OPEN, 0) == rounds_of(OPEN, 1000 * DAY) == USUAL_ROUNDS
