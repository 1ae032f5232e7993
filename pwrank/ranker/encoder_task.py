"""What the epochs of stage one have in common: log, catalogue, what was popular, negatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pwrank.ranker.history import Histories, IntArray
from pwrank.ranker.item_encoder import ItemInputs
from pwrank.ranker.model import Ranker
from pwrank.ranker.popularity import ItemActivity, snapshot_times

FULL_SOFTMAX_ITEMS = 20_000
"""Catalogues up to this size are trained against every item."""


@dataclass(frozen=True)
class TimeLine:
    """What was popular at each of s snapshots; every target is trained with what was then known."""

    times: IntArray
    """(s,) int64 unix seconds, ascending."""
    features: Tensor
    """(s, n, f) float32: `ItemActivity.features` at each."""

    def at(self, timestamps: IntArray) -> IntArray:
        """Newest snapshot not after each timestamp (the first one for what is older)."""
        index = np.searchsorted(self.times, timestamps, side="right") - 1
        return np.maximum(index, 0).astype(np.int64)


def make_timeline(activity: ItemActivity, most: int) -> TimeLine:
    """Popularity at equally filled moments; fewer for a large catalogue (200 MB at most)."""
    sample = activity.features(0)
    affordable = max(int(200e6 / max(sample.nbytes, 1)), 2)
    times = snapshot_times(activity, most=min(most, affordable))
    # Cloned: matrix products round by the alignment of their arguments, and numpy's is by chance.
    return TimeLine(times, torch.from_numpy(activity.features_over_time(times)).clone())


@dataclass(frozen=True)
class EncoderTask:
    """What the epochs of stage one have in common."""

    log: Histories
    """Known items only."""
    inputs: ItemInputs
    """The catalogue on the model's device."""
    prior: Tensor
    """(s, n, k) float32: `Ranker.prior_basis` at each snapshot."""
    timeline: TimeLine
    """The snapshots."""
    sampling: npt.NDArray[np.float64] | None
    """(n,) probability of each item as a negative; None = full softmax."""
    negatives: int
    """Sampled per batch, shared by its rows."""
    batch_tokens: int
    """Interactions per step."""
    epoch_rows: int
    """Interactions per epoch at most."""


def draw_negatives(task: EncoderTask, rng: np.random.Generator) -> IntArray:
    """(m,) int64 items of a step; none with a full softmax."""
    if task.sampling is None:
        return np.zeros(0, np.int64)
    return rng.choice(len(task.sampling), task.negatives, p=task.sampling).astype(np.int64)


def as_targets(log: Histories, balance: float, *, repeats: bool) -> Histories:
    """The same log, weighted as what is to be predicted; mean weight as before.

    Heavy users do not drown the others, and without `repeats` only the first time counts that a
    user takes an item: nothing else will be ranked.
    """
    factor = np.maximum(log.lengths, 1).astype(np.float64) ** -balance
    weight = log.weight * factor[log.user]
    if not repeats:
        first = np.zeros(log.num_interactions, np.bool_)
        wide = int(log.item.max(initial=0)) + 1
        first[np.unique(log.user * wide + log.item, return_index=True)[1]] = True
        weight = np.where(first, weight, 0.0)
    scale = log.weight.mean() / max(float(weight.mean()), 1e-12)
    return replace(log, weight=(weight * scale).astype(np.float32))


def fit_prior(ranker: Ranker, log: Histories, timeline: TimeLine, *, steps: int) -> float:
    """Teach `ranker.prior` what is taken between a snapshot and the next, for everybody.

    A softmax over items per snapshot, full batch. Returns the last loss per interaction.
    """
    features = timeline.features
    num_items = features.shape[1]
    index = timeline.at(log.timestamp) * num_items + log.item
    counts = np.bincount(index, weights=log.weight, minlength=len(timeline.times) * num_items)
    target = torch.from_numpy(counts.astype(np.float32)).view(-1, num_items).to(features.device)
    total = target.sum()
    optimizer = torch.optim.Adam(ranker.prior.parameters(), lr=0.03)
    loss = torch.zeros(())
    for _ in range(steps):
        scores = ranker.prior(features).squeeze(-1)
        loss = -(functional.log_softmax(scores, dim=1) * target).sum() / total
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())
