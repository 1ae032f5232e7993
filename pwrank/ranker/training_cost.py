"""What a training will take on this machine, from a small one.

The small training reads the real catalogue, some of the users and as much less of everything else
that grows with the log, so that each of its parts takes as much less time. Only the public entry
and the configuration are used: a change of the model changes the forecast with it. What does not
get cheaper in that proportion is timed by itself (closed_form_cost.py).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from pwrank.config import TrainConfig
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.closed_form_cost import (
    cooccurrence_seconds,
    items_together,
    preference_seconds,
)
from pwrank.ranker.cooccurrence_choice import usual_shape
from pwrank.ranker.examples import known_log, window_examples, window_start
from pwrank.ranker.fitting import fit_ranker
from pwrank.ranker.history import Histories
from pwrank.ranker.model import Ranker
from pwrank.ranker.rare_cooccurrence import BLOCK, NEIGHBOURS, learn_cooccurrence

SMALL_LOG = 12_000
"""Interactions of the small training: a dozen steps an epoch."""

COUNTED_LOG = 3_000
"""Interactions that are trained on to count, where all others are in the small training."""

FEW_ITEMS = 300
"""Between which its co-occurrence model is exact."""

PRIOR_STEPS = 8
EXPECTED_SHARE = 1 / 3
"""Of the epochs allowed, where nothing says after how many a training stops: a guess."""

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
    together: int
    """Items with a row in the co-occurrence models."""
    small_log: int
    """Interactions of the small training."""
    small_best: float
    """Epochs after which two such searches were best, on average; one, where the log is short."""
    ranker: Ranker
    """A barely trained ranker of the same form, for timing what comes after."""


def search_epochs(best: float, config: TrainConfig) -> float:
    """Epochs of a search for when to stop that is best after `best`."""
    return min(best + config.patience + 1, config.epochs)


def final_epochs(best: float) -> float:
    """Epochs of the training on everything that follows such a search.

    Each, as one of the search, is a pass over about the whole log.
    """
    return max(best, 1)


def best_epochs(cost: TrainingCost, interactions: int, config: TrainConfig) -> float:
    """Epochs after which the search on so many interactions is likely to be best.

    A log n times as long bears more passes before it is learned by heart: some sqrt(n) times as
    many (CHANGELOG). It tells two epochs from ten, not ten from twelve.
    """
    longer = min(interactions, config.epoch_rows) / max(cost.small_log, 1)
    return min(cost.small_best * math.sqrt(max(1.0, longer)), config.epochs)


def measure_training(
    log: Histories, catalogue: Catalogue, *, cut: int, config: TrainConfig, seed: int, clock: Clock
) -> TrainingCost:
    """Forecast `fit_ranker` on a log, the catalogue and this configuration. Takes some seconds."""
    log = known_log(log, cut)
    step = max(1, log.num_interactions // SMALL_LOG)
    some = log.select(np.arange(0, log.num_users, step, dtype=np.int64))
    share = some.num_interactions / log.num_interactions
    small = _small(log, config, share=share, seed=seed)
    # Of a short log there are no others to search: two epochs of some of them count.
    short = step == 1
    apart = max(1, log.num_interactions // COUNTED_LOG) if short else step
    others = log.select(np.arange(apart // 2, log.num_users, apart, dtype=np.int64))
    counted = small.model_copy(update={"epochs": 2}) if short else small
    flops, other_best = _count_flops(others, catalogue, cut=cut, config=counted, seed=seed)
    marks: dict[tuple[str, int], float] = {}

    def mark(phase: str, done: int, _planned: int, _figures: dict[str, float]) -> None:
        marks[phase, done] = clock()

    started = clock()
    ranker, figures = fit_ranker(some, catalogue, cut=cut, config=small, seed=seed, progress=mark)
    search = [marks[phase, done] for phase, done in marks if phase == "search"]
    epoch = (search[-1] - search[0]) / (len(search) - 1)
    begin = search[0] - started
    together = _small_cooccurrence_seconds(some, catalogue, small, clock)
    before = max(0.0, begin - epoch - together) * config.prior_steps / PRIOR_STEPS
    window = max(0.0, marks["final", 1] - search[-1] - begin) * config.moments / small.moments
    items = items_together(log, config.ease_items)
    ease = cooccurrence_seconds(log, catalogue.text, items, config, clock)
    ratings = preference_seconds(log, ranker, catalogue, config, clock)
    return TrainingCost(
        epoch_seconds=epoch / share,
        epoch_flops=flops * log.num_interactions / others.num_interactions,
        other_seconds=2 * before + ease + window + ratings,
        other_flops=4.0 * items**3,
        together=items,
        small_log=some.num_interactions,
        small_best=figures["epochs"] if short else (figures["epochs"] + other_best) / 2,
        ranker=ranker,
    )


def _small_cooccurrence_seconds(
    some: Histories, catalogue: Catalogue, small: TrainConfig, clock: Clock
) -> float:
    """Of the co-occurrence model in the small training; that of the real one is timed apart."""
    started = clock()
    learn_cooccurrence(some, catalogue.text, usual_shape(small), exact_items=small.ease_items)
    return clock() - started


def _small(log: Histories, config: TrainConfig, *, share: float, seed: int) -> TrainConfig:
    """As much less of everything as the small training has of the log."""
    # As many of the moments as of the users, so that one factor fits all that comes between them.
    moments = max(1, round(share * config.moments))
    usual = usual_shape(config)
    rated = min(int(np.isfinite(log.rating).sum()), config.rated_examples)
    return config.model_copy(
        update={
            "epochs": max(2, config.epochs),
            "ease_items": FEW_ITEMS,
            "ease_reg": usual.ridge,
            "ease_text": usual.text,
            "ease_keep": usual.keep,
            "prior_steps": PRIOR_STEPS,
            "moments": moments,
            "examples": -(-_count_examples(log, config, seed) * moments // config.moments),
            "rated_examples": -(-rated * moments // config.moments),
            "rating_rounds": 1,
            "validation_users": max(1, round(share * config.validation_users)),
        }
    )


def _count_flops(
    log: Histories, catalogue: Catalogue, *, cut: int, config: TrainConfig, seed: int
) -> tuple[float, float]:
    """Matrix products of an epoch, and after how many the search was best.

    Counting slows it; it also loads what only a first training loads.
    """
    counter, counting = FlopCounterMode(display=False), contextlib.ExitStack()

    def count(phase: str, done: int, _planned: int, _figures: dict[str, float]) -> None:
        if (phase, done) == ("search", 1):
            counting.enter_context(counter)
        if (phase, done) == ("search", 2):
            counting.close()

    tiny = config.model_copy(update={"examples": 1, "rated_examples": 1, "moments": 1})
    figures = fit_ranker(log, catalogue, cut=cut, config=tiny, seed=seed, progress=count)[1]
    return float(counter.get_total_flops()), figures["epochs"]


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


def training_bytes(items: int, together: int, config: TrainConfig) -> int:
    """Largest memory of a training above what the process holds before it, roughly.

    The co-occurrence model holds its square, its inverse, what each weight tells and an ordering
    of that, for `together` items, and the neighbours of all, some items at a time; an example
    holds a mark and a label for each item, and the features of its candidates.
    """
    neighbours = items * (12 * BLOCK + 16 * NEIGHBOURS)
    examples = config.examples * (5 * items + 160 * config.candidates)
    return 24 * together**2 + neighbours + examples
