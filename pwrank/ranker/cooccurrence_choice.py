"""How the co-occurrence model is held back, chosen by what users took later.

One after the other: the ridge, what a text is worth, and last how many weights are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from pwrank.config import TrainConfig
from pwrank.ranker.cooccurrence import CooccurrenceShape, TakenTogether, count_together
from pwrank.ranker.examples import Examples, sample, seen, targets, window_examples
from pwrank.ranker.history import FloatArray, Histories
from pwrank.ranker.trial import ndcg

USUAL = CooccurrenceShape(ridge=300.0, text=0.0, keep=100)
"""Where there is too little to choose by."""

RIDGES = (1000.0, 100.0, 30.0, 10.0)
TEXTS = (30.0, 100.0, 300.0)
"""What is tried beside the usual."""

MOST_KEPT = 400
MOST_WEIGHTS = 1_500_000
"""What is tried beside the usual number of weights, per item and in all: scoring reads those of
every item of a history."""

FEWEST_EXAMPLES, MOST_EXAMPLES = 100, 3000
LONG_HISTORY = 5
"""Interactions from which on an example counts, where there are enough such: of who has had less,
popularity knows as much, and they prefer whatever is nearest to it."""

MOST_ITEMS = 4000
"""Most frequent items that the choice is made with: it hardly depends on the rest."""

RANKS = 100
"""Ranks that count. The first ten tell two ridges apart no better than chance does."""

BATCH = 256

Grid = Mapping[str, tuple[Any, ...]]
"""By field of a shape, in the order of choosing: the values that are tried beside its own."""


def usual_shape(config: TrainConfig) -> CooccurrenceShape:
    """What is configured; of the rest the usual."""
    return CooccurrenceShape(
        ridge=USUAL.ridge if config.ease_reg is None else config.ease_reg,
        text=USUAL.text if config.ease_text is None else config.ease_text,
        keep=config.ease_keep or USUAL.keep,
    )


def grid_of(config: TrainConfig, items: int) -> Grid:
    """What is to be chosen for a model with rows for `items`."""
    more = min(MOST_KEPT, MOST_WEIGHTS // max(items, 1))
    return {
        "ridge": RIDGES if config.ease_reg is None else (),
        "text": TEXTS if config.ease_text is None else (),
        "keep": (more,) if config.ease_keep is None and more > USUAL.keep else (),
    }


def shape_of(  # noqa: PLR0917 - what it is chosen from
    config: TrainConfig,
    past: Histories,
    log: Histories,
    start: int,
    text: FloatArray,
    rng: np.random.Generator,
) -> CooccurrenceShape:
    """What is configured; of the rest the best for users known before the latest window.

    start: unix seconds at which the window of `log` begins; past: what lies before it.
    text: (n, d) of all items.
    """
    usual = usual_shape(config)
    examples = window_examples(log, start, cuts=1, splits=0, after=0, rng=rng)
    some = sample(_with_long_histories(log, examples), MOST_EXAMPLES, rng)
    if len(some.user) < FEWEST_EXAMPLES:
        return usual
    together = count_together(past, text, most_items=config.ease_items)
    grid = grid_of(config, len(together.chosen))
    return choose_shape(together.most_frequent(MOST_ITEMS), log, some, usual, grid)


def _with_long_histories(log: Histories, examples: Examples) -> Examples:
    long = np.flatnonzero(examples.end - log.offsets[examples.user] >= LONG_HISTORY)
    return examples if len(long) < FEWEST_EXAMPLES else examples.take(long)


def choose_shape(
    together: TakenTogether,
    log: Histories,
    examples: Examples,
    usual: CooccurrenceShape,
    grid: Grid,
) -> CooccurrenceShape:
    """The shape with the highest NDCG@100 on new items; of equals the one tried first.

    together: none of the examples' targets in it. examples: of `log`.
    Also where repeats count: what a user takes again, features of its own tell.
    """
    history = seen(log, examples, together.num_items)
    wanted = targets(log, examples, together.num_items)

    def figure_of(shape: CooccurrenceShape) -> float:
        return _mean_ndcg(history, wanted, together.weights(shape))

    best, highest = usual, None
    for name, values in grid.items():
        for value in values:
            if highest is None:
                highest = figure_of(best)
            tried = replace(best, **{name: value})
            figure = figure_of(tried)
            if figure > highest:
                best, highest = tried, figure
    return best


def _mean_ndcg(
    history: sparse.csr_matrix, wanted: sparse.csr_matrix, weights: sparse.csr_matrix
) -> float:
    examples = history.shape[0]
    gains = [
        ndcg(
            torch.from_numpy(wanted[rows].toarray()),
            torch.from_numpy(_best_places(history[rows], weights)),
        ).numpy()
        for rows in np.array_split(np.arange(examples), -(-examples // BATCH))
    ]
    return float(np.concatenate(gains).mean())


def _best_places(history: sparse.csr_matrix, weights: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    """(b, RANKS) items that histories (b, n) speak for, best first, their own items left out."""
    scores = np.where(history.toarray() > 0, -np.inf, (history @ weights).toarray())
    k = min(RANKS, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable")
    return np.take_along_axis(top, order, 1)
