"""What a training will take on this machine, from a small one.

The small training reads the real catalogue, some of the users and as much less of everything else
that grows with the log, so that each of its parts takes as much less time. Only the public entry
and the configuration are used: a change of the model changes the forecast with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from pwrank.config import TrainConfig
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.examples import known_log, window_examples, window_start
from pwrank.ranker.fitting import fit_ranker
from pwrank.ranker.history import Histories
from pwrank.ranker.model import Ranker

SMALL_LOG = 8_000
"""Interactions of the small training: a handful of steps."""

INVERTED = 1500
"""Width of the matrix whose inversion is timed; the co-occurrence model inverts a wider one."""

PRIOR_STEPS = 8
EXPECTED_SHARE = 1 / 3
"""Of the epochs allowed, where no earlier training says after how many it stops: a guess."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class TrainingCost:
    """Of a training on the log that was given."""

    epoch_seconds: float
    """One pass over the log, with its share of validation."""
    epoch_flops: float
    """Matrix products of such a pass."""
    other_seconds: float
    """All that does not depend on the number of epochs."""
    other_flops: float
    """Of the co-occurrence models; the small models of the second stage are not counted."""
    ranker: Ranker
    """A barely trained ranker of the same form, for timing what comes after."""


def epochs_in_all(best: float, config: TrainConfig) -> float:
    """Epochs of a training whose search is best after `best`, its final ones included.

    Each is a pass over about the whole log.
    """
    return min(best + config.patience + 1, config.epochs) + max(best, 1)


def measure_training(
    log: Histories, catalogue: Catalogue, *, cut: int, config: TrainConfig, seed: int, clock: Clock
) -> TrainingCost:
    """Forecast `fit_ranker` on a log, the catalogue and this configuration. Takes some seconds."""
    log = known_log(log, cut)
    some = _some_users(log)
    share = some.num_interactions / log.num_interactions
    # As many of the moments as of the users, so that one factor fits all that comes between them.
    moments = max(1, round(share * config.moments))
    examples = _count_examples(log, config, seed)
    items = min(len(np.unique(log.item)), config.ease_items)
    rated = min(int(np.isfinite(log.rating).sum()), config.rated_examples)
    small = config.model_copy(
        update={
            "epochs": 2,
            "ease_items": min(items, INVERTED),
            "prior_steps": PRIOR_STEPS,
            "moments": moments,
            "examples": -(-examples * moments // config.moments),
            "rated_examples": -(-rated * moments // config.moments),
            "validation_users": max(1, round(share * config.validation_users)),
        }
    )
    marks: dict[tuple[str, int], float] = {}
    counter, counting = FlopCounterMode(display=False), contextlib.ExitStack()

    def mark(phase: str, done: int, _planned: int, _figures: dict[str, float]) -> None:
        marks[phase, done] = clock()

    def count(phase: str, done: int, _planned: int, _figures: dict[str, float]) -> None:
        if (phase, done) == ("search", 1):
            counting.enter_context(counter)
        if (phase, done) == ("search", 2):
            counting.close()

    tiny = small.model_copy(
        update={"examples": 1, "rated_examples": 1, "prior_steps": 1, "moments": 1}
    )
    # What is counted runs slower; it also loads what only a first training loads.
    fit_ranker(some, catalogue, cut=cut, config=tiny, seed=seed, progress=count)
    started = clock()
    ranker, _ = fit_ranker(some, catalogue, cut=cut, config=small, seed=seed, progress=mark)
    epoch = marks["search", 2] - marks["search", 1]
    before = max(0.0, marks["search", 1] - started - epoch) * config.prior_steps / PRIOR_STEPS
    window = marks["final", 1] - marks["search", 2] - (marks["search", 1] - started)
    ease = _seconds_to_invert(items, clock)
    return TrainingCost(
        epoch_seconds=epoch / share,
        epoch_flops=float(counter.get_total_flops()) / share,
        other_seconds=2 * (before + ease) + max(0.0, window) * config.moments / moments,
        other_flops=4.0 * items**3,
        ranker=ranker,
    )


def _some_users(log: Histories) -> Histories:
    """Every n-th user, so that there are about SMALL_LOG interactions."""
    step = max(1, log.num_interactions // SMALL_LOG)
    return log.select(np.arange(0, log.num_users, step, dtype=np.int64))


def _count_examples(log: Histories, config: TrainConfig, seed: int) -> int:
    examples = window_examples(
        log,
        window_start(log, config.validation_share),
        cuts=config.window_cuts,
        splits=config.newcomer_splits,
        after=config.newcomer_rows,
        rng=np.random.default_rng(seed),
    )
    return min(len(examples.user), config.examples)


def _seconds_to_invert(items: int, clock: Clock) -> float:
    """Of a matrix as wide as the items, by that of a smaller one: the third power of the width."""
    few = min(items, INVERTED)
    matrix = np.eye(few, dtype=np.float32) + np.float32(0.1)
    tries = []
    for _ in range(3):
        started = clock()
        np.linalg.inv(matrix)
        tries.append(clock() - started)
    return min(tries) * (items / max(few, 1)) ** 3


def training_bytes(items: int, examples: int, config: TrainConfig) -> int:
    """Largest memory of a training above what the process holds before it, roughly.

    The co-occurrence model holds its square, its inverse, what each weight tells and an ordering
    of that; an example holds a mark and a label for each item, and the features of its candidates.
    """
    square = 24 * min(items, config.ease_items) ** 2
    return square + examples * (5 * items + 160 * config.candidates)
