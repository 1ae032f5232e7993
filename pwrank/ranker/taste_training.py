"""Learn biases and factors from a log of ratings: variational Bayes, side features of items.

Lim and Teh (KDD Cup 2007) with item means regressed on text and categories. Variances and noise
come from the data; the spread of the factors alone is set, for estimated it overfits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pwrank.ranker.history import IntArray
from pwrank.ranker.item_encoder import ItemInputs
from pwrank.ranker.taste_factors import (
    Beliefs,
    Floats,
    TasteFactors,
    believe,
    category_matrix,
    rated_by,
)

FACTOR_VARIANCE = 0.005
"""Of an item's factor, in variances of the ratings, where a user's has 1. Of .001 to .1 the best on
validation, and the only ones from which more rounds did no harm are .0025 and .005."""

BIAS_VARIANCE = 0.2
"""Of a bias at the start, in variances of the ratings."""

RIDGE = 10.0
"""Of the regression on text and categories, in items."""

TEXT_DIRECTIONS = 64
"""Principal directions of the text that are looked at."""

MOST_CATEGORIES = 256
"""Most frequent categories that are looked at."""

FREE_ROUNDS = 2
"""Rounds before the regression begins."""


@dataclass(frozen=True)
class Ratings:
    """A log of ratings, m of them."""

    user: IntArray
    """(m,) int64 from 0."""
    item: IntArray
    """(m,) int64 rows of the catalogue."""
    value: Floats
    """(m,)."""


@dataclass(frozen=True)
class SideFeatures:
    """What is known of items before anybody rates them, as columns of a regression."""

    columns: Floats
    """(n, 1 + t + c): constant, text, categories."""
    text: Floats
    """(text_dim, t): embedding -> text columns, but for a constant."""
    centre: Floats
    """(text_dim,): embedding at which the text columns are 0."""
    category: IntArray
    """(c,) categories of the columns."""


def side_features(inputs: ItemInputs, used: IntArray, categories: int) -> SideFeatures:
    """Features of all items; `used` (rows) say what is common. categories: in the vocabulary."""
    text = inputs.text.cpu().numpy().astype(np.float64)
    labels = category_matrix(inputs, categories + 1)
    frequency = np.asarray(labels[used].sum(axis=0)).ravel()
    frequency[0] = 0.0
    common = np.argsort(-frequency, kind="stable")[:MOST_CATEGORIES]
    common = np.sort(common[frequency[common] > 0])
    centre = text[used].mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(text[used], rowvar=False, bias=True))
    directions = directions[:, ::-1][:, :TEXT_DIRECTIONS]
    spread = max(float(((text[used] - centre) @ directions).std()), 1e-6)
    projection = directions / spread
    return SideFeatures(
        columns=np.hstack(
            [
                np.ones((len(text), 1)),
                (text - centre) @ projection,
                labels[:, common].toarray(),
            ]
        ),
        text=projection,
        centre=centre,
        category=common,
    )


def no_features(inputs: ItemInputs) -> SideFeatures:
    """Items are known by their ratings alone."""
    items, dim = inputs.text.shape
    nothing = np.zeros((dim, 0))
    return SideFeatures(np.ones((items, 1)), nothing, np.zeros(dim), np.zeros(0, np.int64))


@dataclass
class _State:
    """The current beliefs; r = rated items."""

    users: Beliefs
    items: Beliefs
    user_variance: Floats
    item_variance: Floats
    noise: float
    weights: Floats
    """(columns, k + 1) of the regression."""


def fit_taste(
    ratings: Ratings,
    inputs: ItemInputs,
    side: SideFeatures,
    *,
    categories: int,
    factors: int,
    rounds: Sequence[int],
    rng: np.random.Generator,
) -> Iterator[TasteFactors]:
    """Beliefs about every item of the catalogue, and what is needed to believe things of users.

    After each of these numbers of rounds, ascending: the more, the better they fit the ratings, and
    up to a point later ones as well. Memory: (users + rated items) x (factors + 1)² x 16 bytes or
    so; time: that and ratings x (factors + 1)² a round.
    """
    used, item = np.unique(ratings.item, return_inverse=True)
    users, user = np.unique(ratings.user, return_inverse=True)
    level = float(ratings.value.mean())
    deviation = ratings.value - level
    scale = max(float(deviation.var()), 1e-9)
    shape = (len(users), len(used))
    by_user = rated_by(user, item, deviation, shape)
    by_item = rated_by(item, user, deviation, shape[::-1])
    columns = side.columns[used]
    state = _begin(shape, columns.shape[1], factors, scale, rng)
    for number in range(max(rounds)):
        state.users, _ = believe(
            by_user, state.items, np.zeros(factors + 1), state.user_variance, state.noise
        )
        state.user_variance[0] = _spread(state.users, np.zeros(factors + 1))[0]
        expected = columns @ state.weights
        state.items, error = believe(
            by_item, state.users, expected, state.item_variance, state.noise
        )
        if number >= FREE_ROUNDS:
            state.weights = _regress(columns, state.items.mean)
            expected = columns @ state.weights
        state.item_variance[0] = _spread(state.items, expected)[0]
        state.noise = max(error / len(deviation), 1e-4 * scale)
        if number + 1 in rounds:
            yield _as_factors((state, level, used), inputs, side, categories)


def _begin(
    shape: tuple[int, int], columns: int, factors: int, scale: float, rng: np.random.Generator
) -> _State:
    users, items = shape
    width = factors + 1
    user_variance, item_variance = np.ones(width), np.full(width, FACTOR_VARIANCE * scale)
    user_variance[0] = item_variance[0] = BIAS_VARIANCE * scale
    start = rng.normal(0.0, 0.1 * np.sqrt(scale), (items, width))
    start[:, 0] = 0.0
    doubt = np.tile(np.eye(width, dtype=np.float32) * np.float32(0.01 * scale), (items, 1, 1))
    nobody = Beliefs(np.zeros((users, width)), np.zeros((0, width, width), np.float32))
    weights = np.zeros((columns, width))
    return _State(nobody, Beliefs(start, doubt), user_variance, item_variance, scale, weights)


def _spread(beliefs: Beliefs, expected: Floats) -> Floats:
    """(k + 1,) mean squared distance from what was expected."""
    doubt = np.diagonal(beliefs.covariance, axis1=1, axis2=2)
    spread = np.mean((beliefs.mean - expected) ** 2 + doubt, axis=0, dtype=np.float64)
    return np.maximum(spread, 1e-9)


def _regress(columns: Floats, wanted: Floats) -> Floats:
    gram = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
    return np.linalg.solve(gram, columns.T @ wanted).astype(np.float64)


def _as_factors(
    fitted: tuple[_State, float, IntArray],
    inputs: ItemInputs,
    side: SideFeatures,
    categories: int,
) -> TasteFactors:
    """Beliefs as arrays in the order of the vocabulary. fitted: state, level, its rows."""
    state, level, used = fitted
    width = state.weights.shape[1]
    size = side.text.shape[1]
    text = side.text @ state.weights[1 : size + 1]
    category = np.zeros((categories + 1, width))
    category[side.category] = state.weights[size + 1 :]
    mean = side.columns @ state.weights
    variance = np.broadcast_to(state.item_variance, mean.shape).copy()
    mean[used] = state.items.mean
    variance[used] = np.diagonal(state.items.covariance, axis1=1, axis2=2)
    identity = inputs.identity.cpu().numpy()
    named = np.argsort(identity, kind="stable")[np.count_nonzero(identity == 0) :]
    arrays = {
        "level": np.array(level),
        "noise": np.array(state.noise),
        "user_variance": state.user_variance,
        "item_variance": state.item_variance,
        "constant": state.weights[0] - side.centre @ text,
        "text": text,
        "category": category,
        "known_mean": mean[named],
        "known_variance": variance[named],
    }
    return TasteFactors(**{name: value.astype(np.float32) for name, value in arrays.items()})
