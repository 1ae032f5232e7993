"""NeuMF (He et al. 2017) over ids: the classic point-wise ranker, trained on sampled negatives.

Binary cross entropy of each user's items and of as many that the user does not have, drawn anew in
every epoch. Its work is bounded by a count of multiplications rather than by a clock, so that the
same log gives the same model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from scipy import sparse

from pwrank.evaluation.baselines import UserItems, codes_of
from pwrank.evaluation.early_stopping import train_epochs
from pwrank.evaluation.known_log import VALIDATION_USERS, KnownLog
from pwrank.evaluation.neumf_kernels import has_item
from pwrank.evaluation.neumf_network import DIM, WIDTHS, Network, new_network, views
from pwrank.evaluation.neumf_training import Trainer, dtype_of_products
from pwrank.evaluation.scored_lists import Scores, rank_scored
from pwrank.lists.workers import beside_each_other, in_order, one_ahead
from pwrank.ranker.history import FloatArray, IntArray

BATCH = 2048
"""Interactions of a step."""
NEGATIVES = 4
"""Drawn for each interaction, as in the paper."""
EPOCHS = (5, 60)
"""At least and at most."""
PATIENCE = 5
"""Epochs without a better validation figure before stopping."""
USUAL_WORK = 5e12
"""Multiplications of one training with its judgements: some 100 seconds on two cores."""
MOST_WORK = 3e13
"""Multiplications at most: some 10 minutes on two cores."""
DRAWS = 10
"""Times that a negative is drawn again, if the user has it."""
BLOCK_ITEMS = 2048
"""Items that are scored at a time."""


@dataclass(frozen=True)
class NetworkLists:
    """Every item scored by the network, for one user after the other."""

    history: UserItems
    network: Network
    """Rows as in `history.users` and `history.items`."""
    exclude_seen: bool

    def rank(self, users: pl.Series, *, k: int) -> pl.DataFrame:
        """See `Baseline.rank`; a user without history gets the popular items."""
        parts = _ItemParts(self.network)

        def scores(batch: pl.Series, _rows: sparse.csr_matrix) -> Scores:
            codes = codes_of(batch, self.history.users)
            found = np.zeros((len(batch), len(self.history.items)), np.float32)
            known = np.flatnonzero(codes >= 0)
            tasks = in_order(parts.scores, codes[known].tolist(), torch.get_num_threads())
            for place, (_, row) in zip(known, tasks, strict=True):
                found[place] = row
            return found

        return rank_scored(self.history, users, scores, k=k, exclude_seen=self.exclude_seen)


class _ItemParts:
    """What of the scores depends on the items only, computed once."""

    def __init__(self, network: Network) -> None:
        self._network, self._weights = network, views(network.flat)
        layer = self._weights["weight1"]
        self._part = network.items[:, DIM:] @ layer[:, DIM:].T + self._weights["bias1"]

    def scores(self, user: int) -> npt.NDArray[np.float32]:
        """(items,) logits of one user."""
        weights, row = self._weights, self._network.users[user]
        own = weights["weight1"][:, :DIM] @ row[DIM:]
        found = self._network.items[:, :DIM] @ (row[:DIM] * weights["product"]) + weights["bias"]
        for start in range(0, len(found), BLOCK_ITEMS):
            states = (self._part[start : start + BLOCK_ITEMS] + own).relu_()
            for number in range(2, len(WIDTHS)):
                layer, bias = weights[f"weight{number}"], weights[f"bias{number}"]
                states = torch.addmm(bias, states, layer.T).relu_()
            found[start : start + BLOCK_ITEMS] += states @ weights["perceptron"]
        return found.numpy()


def epochs_affordable(log: KnownLog) -> int:
    """Epochs within USUAL_WORK, or EPOCHS at least where they are within MOST_WORK; else 0."""
    matrix = log.matrix.matrix
    layers = [wide * narrow for wide, narrow in itertools.pairwise(WIDTHS)]
    judged = min(VALIDATION_USERS, matrix.shape[0]) * matrix.shape[1]
    work = 3.0 * matrix.nnz * (1 + NEGATIVES) * sum(layers) + judged * sum(layers[1:])
    least, most = EPOCHS
    if least * work > MOST_WORK:
        return 0
    return int(min(max(USUAL_WORK / max(work, 1.0), least), most))


def fit_neumf(
    log: KnownLog, *, epochs: int, judge: Callable[[NetworkLists], float] | None = None
) -> tuple[NetworkLists, int]:
    """Lists of NeuMF, and the epochs behind them: see `early_stopping.train_epochs`."""
    rng = np.random.default_rng(log.seed)
    known = log.matrix.matrix
    network = new_network(known.shape[0], known.shape[1], torch.Generator().manual_seed(log.seed))
    lists = NetworkLists(log.matrix, network, log.exclude_seen)
    trainer = Trainer(network, pairs=BATCH * (1 + NEGATIVES), dtype=dtype_of_products())
    return train_epochs(
        lambda: train_epoch(trainer, known, rng),
        lambda: lists,
        judge,
        epochs=epochs,
        patience=PATIENCE,
    )


def train_epoch(
    trainer: Trainer,
    known: sparse.csr_matrix,
    rng: np.random.Generator,
    *,
    negatives: int = NEGATIVES,
) -> float:
    """One pass over every (user, item) of the matrix in random order. Returns the mean loss."""
    with beside_each_other(torch.get_num_threads()) as run:
        drawn = one_ahead(batches(known, rng, negatives))
        losses = [trainer.step(*batch, run) for batch in drawn]
    return float(np.mean(losses)) if losses else 0.0


def batches(
    known: sparse.csr_matrix, rng: np.random.Generator, negatives: int
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Users, items and labels (pairs,): BATCH interactions, then their negatives."""
    users = np.repeat(np.arange(known.shape[0]), np.diff(known.indptr))
    order = rng.permutation(known.nnz)
    for start in range(0, known.nnz, BATCH):
        rows = order[start : start + BATCH]
        user = np.tile(users[rows], 1 + negatives)
        item = np.concatenate([known.indices[rows], _absent(known, user[len(rows) :], rng)])
        label = np.zeros(len(user), np.float32)
        label[: len(rows)] = 1
        yield user, item.astype(np.int64), label


def _absent(known: sparse.csr_matrix, user: IntArray, rng: np.random.Generator) -> IntArray:
    """An item for each user that the user does not have; any where DRAWS give none."""
    item = rng.integers(0, known.shape[1], len(user))
    for _ in range(DRAWS):
        again = np.flatnonzero(has_item(known.indptr, known.indices, user, item))
        if not len(again):
            break
        item[again] = rng.integers(0, known.shape[1], len(again))
    return item
