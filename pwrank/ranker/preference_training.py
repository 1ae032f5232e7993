"""Teach the heads `like` and `rating` from the rated rows of a log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from pwrank.config import TrainConfig
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.examples import Examples, join, prefixes
from pwrank.ranker.history import Histories, IntArray
from pwrank.ranker.item_encoder import ItemInputs
from pwrank.ranker.model import Ranker
from pwrank.ranker.preference import PreferenceModel, likes_of
from pwrank.ranker.taste_factors import Floats, TasteFactors
from pwrank.ranker.taste_rounds import (
    MOST_EXAMPLES,
    ROUNDS,
    USUAL_ROUNDS,
    Window,
    choose_rounds,
)
from pwrank.ranker.taste_training import Ratings, fit_taste, no_features, side_features

SCALE_TOP = 0.8
"""A rating is a like from this far up the scale of the log, unless a threshold is given."""

MOST_USERS = 50_000
"""Users whose ratings teach the factors of items; more cost memory and teach little."""

PLAIN_WEIGHTS = (0.0, 1.7, 0.0, 0.0)
"""Of the logistic regression before any evidence: nearly the normal distribution of a rating."""

STARTS = 4
"""Random starts whose mean the head `rating` tells: each ends in a place of its own, and where logs
are dense their mean is nearer than any. Likes gain nothing by it."""

STARTED_RATINGS = 1_000_000
"""Of all starts together, at most, but for the first: a start costs as much as the log is long."""

NEWTON_STEPS = 20
BLOCK_EXAMPLES = 256


@dataclass(frozen=True)
class PreferenceTask:
    """What is to be learned from, and how."""

    log: Histories
    """Known items only."""
    inputs: ItemInputs
    """The catalogue in the model's vocabulary."""
    categories: int
    """Of the vocabulary."""
    threshold: float | None
    """Rating from which on an item is liked; None = by the scale of the log."""
    factors: int
    rounds: int | None
    """None = as many as foretell the latest window best."""
    examples: int
    """Rated rows, at most, on which the probability of a like is calibrated."""
    seed: int
    text: bool = True
    """Whether text and categories tell of items, too."""


def like_threshold(log: Histories, threshold: float | None) -> float:
    """In the units of the source."""
    rated = log.rating[~np.isnan(log.rating)]
    if threshold is not None or len(rated) == 0:
        return threshold or 0.0
    low, high = np.quantile(rated, [0.001, 0.999])
    return float(low + SCALE_TOP * (high - low))


def rated_examples(log: Histories, start: int, most: int, rng: np.random.Generator) -> Examples:
    """At most so many rated rows from `start` (unix seconds) on, each with two histories.

    With all that came before it, and with what was known at `start`: pairs are scored for users who
    were here a moment ago and for others. Row `stop` - 1 is the rated one.
    """
    rows = np.flatnonzero(~np.isnan(log.rating) & (log.timestamp >= start))
    rows = np.sort(rng.permutation(rows)[:most])
    user = log.user
    known = log.offsets[:-1] + np.bincount(user[log.timestamp < start], minlength=log.num_users)
    lately = Examples(user[rows], rows, rows + 1, log.timestamp[rows])
    long_ago = replace(lately, end=known[user[rows]], at=np.full(len(rows), start, np.int64))
    return join([lately, long_ago])


def fit_preference(
    task: PreferenceTask, start: int
) -> tuple[PreferenceModel | None, dict[str, float]]:
    """Factors of the whole log; rounds and regression by factors that end at `start`.

    start: unix seconds. None for a log without ratings. The second value tells the rounds, and the
    mean squared error and the log loss on `rated_examples`.
    """
    rating = task.log.rating
    rated = rating[~np.isnan(rating)]
    if len(rated) == 0:
        return None, {}
    threshold = like_threshold(task.log, task.threshold)
    scale = np.array([rated.min(), rated.max(), threshold], np.float32)
    weights: Floats = np.array(PLAIN_WEIGHTS)
    figures: dict[str, float] = {}
    rounds = task.rounds or USUAL_ROUNDS
    if known := _past_and_later(task, start):
        past, examples = known
        rounds, stars = _factors_before(task, past, examples)
        likes = factors_of(task, likes_of(past, threshold), rounds)
        before = PreferenceModel((stars,), likes, scale, weights.astype(np.float32))
        weights, figures = _calibrate(before, task, examples)
    count = starts_for(len(rated))
    starts = tuple(factors_of(task, task.log, rounds, start=number) for number in range(count))
    likes = factors_of(task, likes_of(task.log, threshold), rounds)
    model = PreferenceModel(starts, likes, scale, weights.astype(np.float32))
    return model, figures | {"rating_rounds": float(rounds)}


def preference_task(
    log: Histories, inputs: ItemInputs, categories: int, config: TrainConfig, *, seed: int
) -> PreferenceTask:
    """As configured; see the fields."""
    return PreferenceTask(
        log=log,
        inputs=inputs,
        categories=categories,
        threshold=config.like_threshold,
        factors=config.rating_factors,
        rounds=config.rating_rounds,
        examples=config.rated_examples,
        seed=seed,
    )


def learn_preference(
    ranker: Ranker,
    log: Histories,
    catalogue: Catalogue,
    config: TrainConfig,
    *,
    seed: int,
    start: int,
) -> tuple[PreferenceModel | None, dict[str, float]]:
    """`fit_preference` for the vocabulary of a ranker, as configured."""
    inputs, categories = ranker.item_inputs(catalogue), len(ranker.categories)
    return fit_preference(preference_task(log, inputs, categories, config, seed=seed), start)


def _rng(task: PreferenceTask, part: int) -> np.random.Generator:
    return np.random.default_rng([task.seed, part])


def starts_for(ratings: int) -> int:
    """Random starts for a log with so many ratings."""
    return max(1, min(STARTS, STARTED_RATINGS // max(ratings, 1)))


def _past_and_later(task: PreferenceTask, start: int) -> tuple[Histories, Examples] | None:
    """What lies before `start`, and examples from then on; None where one of them has no rating."""
    past = task.log.before(start)
    examples = rated_examples(task.log, start, task.examples, _rng(task, 0))
    return None if np.isnan(past.rating).all() or not len(examples.end) else (past, examples)


def rounds_of(task: PreferenceTask, start: int) -> int:
    """As given, or as many as foretell ratings from `start` (unix seconds) on best."""
    if task.rounds:
        return task.rounds
    known = _past_and_later(task, start)
    return _factors_before(task, *known)[0] if known else USUAL_ROUNDS


def _factors_before(
    task: PreferenceTask, past: Histories, examples: Examples
) -> tuple[int, TasteFactors]:
    """Rounds, and factors of the past after them."""
    if task.rounds:
        return task.rounds, factors_of(task, past, task.rounds)
    some = _rng(task, 3).permutation(len(examples.end))[:MOST_EXAMPLES]
    window = Window(task.log, task.inputs, examples.take(np.sort(some)))
    return choose_rounds(_fit(task, past, ROUNDS), window, ROUNDS)


def factors_of(
    task: PreferenceTask, log: Histories, rounds: int, *, start: int = 0
) -> TasteFactors:
    """Of the rated rows of a log, after so many rounds. start: number of a random start."""
    return next(_fit(task, log, (rounds,), start=start))


def _fit(
    task: PreferenceTask, log: Histories, rounds: tuple[int, ...], *, start: int = 0
) -> Iterator[TasteFactors]:
    ratings = ratings_of(_some_users(log, _rng(task, 1)))
    side = no_features(task.inputs)
    if task.text:
        side = side_features(task.inputs, np.unique(ratings.item), task.categories)
    return fit_taste(
        ratings,
        task.inputs,
        side,
        categories=task.categories,
        factors=task.factors,
        rounds=rounds,
        rng=np.random.default_rng([task.seed, 2, start]),
    )


def ratings_of(log: Histories) -> Ratings:
    """The rated rows."""
    rows = np.flatnonzero(~np.isnan(log.rating))
    return Ratings(log.user[rows], log.item[rows], log.rating[rows].astype(np.float64))


def _some_users(log: Histories, rng: np.random.Generator) -> Histories:
    if log.num_users <= MOST_USERS:
        return log
    rated = np.bincount(log.user[~np.isnan(log.rating)], minlength=log.num_users)
    users: IntArray = rng.permutation(np.flatnonzero(rated))[:MOST_USERS]
    return log.select(np.sort(users))


def _calibrate(
    model: PreferenceModel, task: PreferenceTask, examples: Examples
) -> tuple[Floats, dict[str, float]]:
    """Weights of the logistic regression, and how well both heads do on the examples."""
    items = model.items(task.inputs)
    evidence, ratings = [], []
    for block in examples.blocks(BLOCK_EXAMPLES):
        candidates = task.log.item[block.stop - 1][:, None]
        told, rating = model.like_evidence(prefixes(task.log, block), items, candidates)
        evidence.append(told[:, 0])
        ratings.append(rating[:, 0])
    truth = task.log.rating[examples.stop - 1].astype(np.float64)
    liked = (truth >= model.scale[2]).astype(np.float64)
    columns = np.column_stack([np.ones(len(liked)), np.concatenate(evidence)])
    weights = logistic_weights(columns, liked)
    logits = columns @ weights
    return weights, {
        "rating_mse": float(np.mean((truth - np.concatenate(ratings)) ** 2)),
        "like_log_loss": float(np.mean(np.logaddexp(0.0, logits) - liked * logits)),
    }


def logistic_weights(columns: Floats, label: Floats) -> Floats:
    """Weights (f,) of a logistic regression by Newton's method, with a weak pull to PLAIN_WEIGHTS.

    columns: (m, f), label: (m,) 0 or 1.
    """
    plain = np.array(PLAIN_WEIGHTS)
    weights = plain.copy()
    for _ in range(NEWTON_STEPS):
        chance = expit(columns @ weights)
        slope = columns.T @ (chance - label) + (weights - plain)
        curve = (columns * (chance * (1.0 - chance))[:, None]).T @ columns + np.eye(len(weights))
        weights = weights - np.linalg.solve(curve, slope)
    return weights
