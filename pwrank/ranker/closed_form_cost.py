"""What the parts of a training without epochs take: co-occurrence models and heads of ratings.

Timed on the log itself, with fewer items and fewer rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pwrank.config import TrainConfig
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.cooccurrence import (
    CooccurrenceShape,
    count_together,
    taken_by_several,
    user_item_matrix,
    users_of_each,
)
from pwrank.ranker.cooccurrence_choice import (
    FEWEST_EXAMPLES,
    MOST_ITEMS,
    grid_of,
    usual_shape,
)
from pwrank.ranker.examples import window_examples, window_start
from pwrank.ranker.history import FloatArray, Histories
from pwrank.ranker.model import Ranker
from pwrank.ranker.preference_training import MOST_USERS, learn_preference
from pwrank.ranker.rare_cooccurrence import regress_on_neighbours
from pwrank.ranker.walks import walk_weights

TIMED_ITEMS = 3000
"""Of the co-occurrence model that is timed, at most: a second or two."""

ITEMS_EXPONENT = 2.6
"""How the seconds of a wider one grow: an inversion, and much that grows with the square. Measured
between 3,000 and 6,300 items."""

TIMED_REGRESSIONS = 512
"""Items whose regressions are timed, at most, where some are too rare for the rest: a second."""

TIMED_LOG = 100_000
"""Interactions on which the heads of ratings are timed, at most: some seconds."""

TIMED_ROUNDS = 4

EXPECTED_ROUNDS = 30
"""Where the rounds are chosen: the most that are tried, and what sparse logs take."""

Clock = Callable[[], float]


def items_together(log: Histories, most: int) -> int:
    """Items between which co-occurrence is exact: those that two users took, at most so many."""
    items = int(log.item.max(initial=-1)) + 1
    return len(taken_by_several(users_of_each(user_item_matrix(log, items)), most))


def cooccurrence_seconds(
    log: Histories, text: FloatArray, width: int, config: TrainConfig, clock: Clock
) -> float:
    """Of the two co-occurrence models, exact between `width` of the items, and of their choice.

    text: (n, d) of all items.
    """
    timed, tries = min(width, TIMED_ITEMS), []
    for _ in range(2):
        started = clock()
        weights = count_together(log, text, most_items=timed).weights(usual_shape(config))
        tries.append(clock() - started)
    started = clock()
    walk_weights(user_item_matrix(log, len(text)), weights)
    rest = clock() - started

    def seconds(wide: int) -> float:
        return min(tries) * math.pow(max(wide, 1) / max(timed, 1), ITEMS_EXPONENT)

    compared = _count_compared(log, width, config)
    rest += _regression_seconds(log, text, usual_shape(config), width, clock)
    return 2 * (seconds(width) + rest) + compared * seconds(min(width, MOST_ITEMS))


def _regression_seconds(
    log: Histories, text: FloatArray, shape: CooccurrenceShape, width: int, clock: Clock
) -> float:
    """Of the weights to and from all items but the `width` most frequent.

    From two samples, since some of it comes once, however many items there are.
    """
    interactions = user_item_matrix(log, len(text))
    count = users_of_each(interactions)
    taken = np.flatnonzero(count)
    if len(taken) <= width:
        return 0.0
    frequent = np.zeros(len(count), np.bool_)
    frequent[taken_by_several(count, width)] = True
    timed = taken[:: -(-len(taken) // TIMED_REGRESSIONS)]
    few, seconds = timed[: -(-len(timed) // 4)], []
    # The first may compile.
    for some in (few, few, timed):
        started = clock()
        regress_on_neighbours(interactions, text, shape, frequent, some)
        seconds.append(clock() - started)
    each = max(0.0, seconds[2] - seconds[1]) / max(len(timed) - len(few), 1)
    return seconds[1] + each * (len(taken) - len(few))


def _count_compared(log: Histories, width: int, config: TrainConfig) -> int:
    """Models that a shape is chosen from."""
    start = window_start(log, config.validation_share)
    nobody = np.random.default_rng(0)
    found = window_examples(log, start, cuts=1, splits=0, after=0, rng=nobody)
    others = sum(map(len, grid_of(config, width).values()))
    return 1 + others if others and len(found.user) >= FEWEST_EXAMPLES else 0


def preference_seconds(
    log: Histories, ranker: Ranker, catalogue: Catalogue, config: TrainConfig, clock: Clock
) -> float:
    """Of the heads `like` and `rating`: two short trainings tell what a round takes."""
    users = min(log.num_users, MOST_USERS)
    read = log.num_interactions * users / max(log.num_users, 1)
    step = max(1, round(log.num_interactions / TIMED_LOG))
    some = log.select(np.arange(0, log.num_users, step, dtype=np.int64))
    start = window_start(some, config.validation_share)
    seconds = []
    for rounds in (1, TIMED_ROUNDS):
        few = config.model_copy(update={"rating_rounds": rounds})
        started = clock()
        learn_preference(ranker, some, catalogue, few, seed=0, start=start)
        seconds.append(clock() - started)
    one, several = seconds
    each = max(0.0, several - one) / (TIMED_ROUNDS - 1)
    grown = max(1.0, read / max(some.num_interactions, 1))
    return grown * (one + each * ((config.rating_rounds or EXPECTED_ROUNDS) - 1))
