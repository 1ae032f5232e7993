"""How strongly the co-occurrence model is held back, chosen by what users took later."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from pwrank.config import TrainConfig
from pwrank.ranker.cooccurrence import fit_cooccurrence
from pwrank.ranker.examples import Examples, sample, seen, targets, window_examples
from pwrank.ranker.history import Histories
from pwrank.ranker.trial import K, ndcg

RIDGES = (30.0, 100.0, 300.0, 1000.0)
USUAL = 300.0
"""Where there is too little to choose by."""

FEWEST_EXAMPLES = 100
MOST_ITEMS = 4000
"""Most frequent items that the choice is made with: it hardly depends on the rest."""

BATCH = 256


def ridge_of(  # noqa: PLR0917 - what it is chosen from
    config: TrainConfig,
    past: Histories,
    log: Histories,
    start: int,
    num_items: int,
    rng: np.random.Generator,
) -> float:
    """The ridge that is configured, or the best one for users known before the latest window.

    start: unix seconds at which the window of `log` begins; past: what lies before it.
    """
    if config.ease_reg is not None:
        return config.ease_reg
    examples = window_examples(log, start, cuts=1, splits=0, after=0, rng=rng)
    some = sample(examples, config.validation_users, rng)
    return choose_ridge(past, log, some, num_items, keep=config.ease_keep)


def choose_ridge(
    past: Histories, log: Histories, examples: Examples, num_items: int, *, keep: int
) -> float:
    """The ridge of RIDGES with the highest NDCG@10 on new items; of equals the larger one.

    past: what the model is fitted to, none of the examples' targets among it. examples: of `log`.
    Also where repeats count: what a user takes again, features of its own tell.
    """
    if len(examples.user) < FEWEST_EXAMPLES:
        return USUAL
    history, wanted = seen(log, examples, num_items), targets(log, examples, num_items)
    best, highest = USUAL, -1.0
    for ridge in reversed(RIDGES):
        weights = fit_cooccurrence(past, num_items, reg=ridge, most_items=MOST_ITEMS, keep=keep)
        gains = [
            ndcg(
                torch.from_numpy(wanted[rows].toarray()),
                torch.from_numpy(_best_places(history[rows], weights.matrix)),
            ).numpy()
            for rows in np.array_split(
                np.arange(len(examples.user)), -(-len(examples.user) // BATCH)
            )
        ]
        mean = float(np.concatenate(gains).mean())
        if mean > highest:
            best, highest = ridge, mean
    return best


def _best_places(history: sparse.csr_matrix, weights: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    """(b, K) items that histories (b, n) speak for most, best first, their own items left out."""
    scores = np.where(history.toarray() > 0, -np.inf, (history @ weights).toarray())
    k = min(K, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable")
    return np.take_along_axis(top, order, 1)
