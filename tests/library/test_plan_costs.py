"""What a training will take, told from the parts of it that are timed."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from pwrank.config import Config, TrainConfig
from pwrank.planning import calibration
from pwrank.ranker import closed_form_cost, training_cost
from pwrank.ranker.closed_form_cost import (
    cooccurrence_seconds,
    items_together,
    preference_seconds,
)
from pwrank.ranker.cooccurrence_choice import RIDGES, TEXTS
from pwrank.ranker.history import Histories
from pwrank.ranker.training_cost import (
    TrainingCost,
    best_epochs,
    measure_training,
    training_bytes,
)

ITEMS = 40


def some_log(users: int, rows: int = 10) -> Histories:
    """Every user takes other items, a day apart."""
    rng = np.random.default_rng(0)
    count = users * rows
    return Histories(
        np.arange(0, count + 1, rows),
        rng.integers(0, ITEMS, count),
        np.tile(86_400 * np.arange(rows), users),
        np.zeros(count, np.int64),
        np.full(count, np.nan, np.float32),
        np.ones(count, np.float32),
    )


def clock():
    """Every look at it is a second later."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def a_cost(best: float, log: int = 10_000) -> TrainingCost:
    return TrainingCost(1.0, 1.0, 1.0, 1.0, ITEMS, log, best, ranker=None)


@pytest.mark.parametrize(("users", "epochs"), [(30, [2, 7]), (90, [7, 7])])
def test_a_short_log_is_trained_whole_only_once(monkeypatch, users, epochs):
    """Of a longer one two parts are, and tell together after how many epochs to stop."""
    trained, ticks = [], clock()

    def fit(log, _catalogue, *, config, progress, **_):
        trained.append((log.num_users, config.epochs))
        for epoch in range(config.epochs):
            progress("search", epoch + 1, config.epochs, {})
        progress("final", 1, 1, {})
        return None, {"epochs": float(4 * len(trained))}

    monkeypatch.setattr(training_cost, "SMALL_LOG", 300)
    monkeypatch.setattr(training_cost, "COUNTED_LOG", 100)
    monkeypatch.setattr(training_cost, "fit_ranker", fit)
    monkeypatch.setattr(training_cost, "preference_seconds", lambda *_: 0.0)
    monkeypatch.setattr(training_cost, "cooccurrence_seconds", lambda *_: 0.0)
    catalogue = SimpleNamespace(text=TEXT)
    cost = measure_training(
        some_log(users), catalogue, cut=10**9, config=TrainConfig(epochs=7), seed=0, clock=ticks
    )
    assert trained == [(10 if users == 30 else 30, epochs[0]), (30, epochs[1])]
    assert cost.small_best == (8 if users == 30 else 6)


def test_a_longer_log_is_read_more_often():
    config = TrainConfig(epochs=20)
    assert best_epochs(a_cost(2), 10_000, config) == 2
    assert best_epochs(a_cost(2), 40_000, config) == pytest.approx(4)
    assert best_epochs(a_cost(2), 5_000, config) == 2
    assert best_epochs(a_cost(9), 10**9, config) == 20


def test_epochs_of_a_log_that_is_not_read_whole_are_those_of_what_is_read():
    config = TrainConfig(epoch_rows=90_000)
    assert best_epochs(a_cost(1), 10**9, config) == pytest.approx(3)


def test_items_that_only_one_user_took_have_no_row():
    log = some_log(2)
    both = np.intersect1d(log.item[:10], log.item[10:])
    assert items_together(log, 100) == len(both) > 0
    assert items_together(log, 1) == 1


TEXT = np.zeros((ITEMS, 3), np.float32)
WITH_WALKS = 2
"""Ticks of a model: one for its weights, one for its walks."""
GIVEN = {"ease_reg": 100.0, "ease_text": 30.0, "ease_keep": 50}


def test_items_that_nobody_took_take_no_square_of_memory():
    config = TrainConfig()
    few, many = (training_bytes(100_000, taken, config) for taken in (1_000, 10_000))
    assert many - few == 24 * (10_000**2 - 1_000**2)


def test_the_choice_of_a_shape_costs_a_model_for_each_that_is_tried():
    told = cooccurrence_seconds(some_log(300), TEXT, ITEMS, TrainConfig(), clock())
    usual, keep = 1, 1
    assert told == pytest.approx(2 * WITH_WALKS + usual + len(RIDGES) + len(TEXTS) + keep)


@pytest.mark.parametrize(("users", "given"), [(300, GIVEN), (20, {})])
def test_a_shape_that_is_given_or_cannot_be_chosen_costs_nothing(users, given):
    config = TrainConfig(**given)
    assert cooccurrence_seconds(some_log(users), TEXT, ITEMS, config, clock()) == 2 * WITH_WALKS


def test_a_wider_model_than_is_timed_takes_longer_by_a_power_of_its_width(monkeypatch):
    monkeypatch.setattr(closed_form_cost, "TIMED_ITEMS", 10)
    config = TrainConfig(**GIVEN)
    told = cooccurrence_seconds(some_log(300), TEXT, ITEMS, config, clock())
    assert told == pytest.approx(2 * (4**closed_form_cost.ITEMS_EXPONENT + WITH_WALKS - 1))


def test_items_too_rare_for_it_cost_in_proportion_to_all_that_were_taken(monkeypatch):
    log, config = some_log(300), TrainConfig(ease_items=10, **GIVEN)
    taken = len(np.unique(log.item))
    monkeypatch.setattr(closed_form_cost, "TIMED_REGRESSIONS", 10)
    asked = []

    def regress(*args):
        asked.append(len(args[-1]))
        told["seconds"] += 3.0 + 0.5 * len(args[-1])

    told = {"seconds": 0.0}
    monkeypatch.setattr(closed_form_cost, "regress_on_neighbours", regress)
    seconds = cooccurrence_seconds(log, TEXT, 10, config, lambda: told["seconds"])
    assert seconds == pytest.approx(2 * (3.0 + 0.5 * taken))  # this clock only runs in regressions
    assert max(asked) <= 10 < taken


def test_rounds_of_the_heads_of_ratings_are_counted(monkeypatch):
    told = {"seconds": 0.0}

    def learn(_ranker, log, _catalogue, config, **_):
        told["seconds"] += 3.0 + config.rating_rounds * log.num_users / 100

    monkeypatch.setattr(closed_form_cost, "learn_preference", learn)
    config = TrainConfig(rating_rounds=20)

    def seconds(users: int) -> float:
        log = some_log(users)
        return preference_seconds(log, None, None, config, lambda: told["seconds"])

    assert seconds(100) == pytest.approx(3 + 20)
    monkeypatch.setattr(closed_form_cost, "TIMED_LOG", 500)
    assert seconds(100) == pytest.approx(2 * (3 + 20 * 0.5))


def test_scoring_is_timed_on_as_many_users_as_a_shard_has(monkeypatch):
    scored = []
    monkeypatch.setattr(calibration, "_index", lambda *_: _Index())
    monkeypatch.setattr(calibration, "NightScorer", lambda *_: None)
    monkeypatch.setattr(
        calibration, "score_users", lambda _scorer, _log, users, _config: scored.append(len(users))
    )
    config = Config.model_construct(runtime=Config.model_fields["runtime"].default)
    for users in (50, 10**6):
        calibration.measure_scoring(
            None, some_log(300), _Index(), config, users=users, clock=clock()
        )
    assert scored[1::2] == [50, 300]


class _Index:
    """Whatever is asked of an index and of a catalogue here."""

    table = interactions = text = None
    num_items = 0
