"""Stage one: teach item vectors and history encoder to find what comes next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pwrank.ranker.batching import Chunk, pad_rows, to_device, training_chunks
from pwrank.ranker.history import Histories, IntArray
from pwrank.ranker.history_encoder import HistoryBatch
from pwrank.ranker.item_encoder import ItemInputs
from pwrank.ranker.losses import mask_accidental_hits, subtract_log_frequency
from pwrank.ranker.model import Ranker
from pwrank.ranker.moving_average import MovingAverage
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


@dataclass(frozen=True)
class Targets:
    """A training batch and what is to be found in it; r rows."""

    batch: HistoryBatch
    rows: IntArray | None
    """(r,) row of the log of each target; None: every place (b * l) of the batch is one."""
    item: Tensor
    """(r,) int64."""
    snapshot: Tensor
    """(r,) int64: what was popular then."""
    weight: Tensor
    """(r,) float32."""

    def of_places(self, values: Tensor) -> Tensor:
        """(b, l, …) -> (r, …): of the places that are targets."""
        return values.flatten(0, 1) if self.rows is None else values[self.batch.mask]


@dataclass(frozen=True)
class Occurrences:
    """Items whose vectors a step needs; u of them."""

    item: Tensor
    """(u,) int64."""
    own: Tensor
    """(b, l) int64 place in `item` of each of the batch."""
    negative: Tensor
    """(m,) int64 place of each negative."""
    drawn: Tensor
    """(m,) int64: the negatives."""


def distinct(target: Targets, drawn: Tensor) -> Occurrences:
    """Each item once: least work, but the card must be asked how many there are."""
    item, place = torch.unique(torch.cat([target.batch.item.flatten(), drawn]), return_inverse=True)
    return _occurrences(target, drawn, item, place)


def every_occurrence(target: Targets, drawn: Tensor) -> Occurrences:
    """Each item as often as it occurs: of a shape that is known beforehand."""
    item = torch.cat([target.batch.item.flatten(), drawn])
    return _occurrences(target, drawn, item, torch.arange(len(item), device=item.device))


def _occurrences(target: Targets, drawn: Tensor, item: Tensor, place: Tensor) -> Occurrences:
    """place: in `item`, of each of the batch and then of each negative."""
    own = target.batch.item
    return Occurrences(item, place[: own.numel()].view_as(own), place[own.numel() :], drawn)


def draw_negatives(task: EncoderTask, rng: np.random.Generator) -> IntArray:
    """(m,) int64 items of a step; none with a full softmax."""
    if task.sampling is None:
        return np.zeros(0, np.int64)
    return rng.choice(len(task.sampling), task.negatives, p=task.sampling).astype(np.int64)


def weighted_mean(losses: Tensor, weight: Tensor) -> Tensor:
    """Of (r,) losses; 0 where nothing counts."""
    return (losses * weight).sum() / weight.sum().clamp(min=1e-9)


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


def train_epoch(
    ranker: Ranker,
    task: EncoderTask,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage,
    rng: np.random.Generator,
) -> float:
    """One pass over the log, or as much of it as an epoch may be; returns the mean loss.

    `average` follows the weights.
    """
    ranker.train()
    trained = [value for group in optimizer.param_groups for value in group["params"]]
    losses = []
    chunks = training_chunks(
        task.log,
        length=ranker.shape.length,
        tokens=task.batch_tokens,
        most=task.epoch_rows,
        rng=rng,
    )
    for chunk in chunks:
        with torch.autocast(
            ranker.device.type, torch.bfloat16, enabled=ranker.device.type == "cuda"
        ):
            loss = _chunk_loss(ranker, task, chunk, draw_negatives(task, rng))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        average.follow(ranker)
        losses.append(loss.detach())
    return float(torch.stack(losses).mean()) if losses else 0.0


def _read_chunk(ranker: Ranker, task: EncoderTask, chunk: Chunk) -> Targets:
    batch, rows = pad_rows(
        task.log, chunk.starts, chunk.ends, ranker.scale, events=ranker.shape.events
    )
    batch = to_device(batch, ranker.device)
    taken = rows[rows >= 0]
    return Targets(
        batch=batch,
        rows=taken,
        item=batch.item[batch.mask],
        snapshot=torch.from_numpy(task.timeline.at(task.log.timestamp[taken])).to(ranker.device),
        weight=torch.from_numpy(task.log.weight[taken]).to(ranker.device),
    )


def _chunk_loss(ranker: Ranker, task: EncoderTask, chunk: Chunk, drawn: IntArray) -> Tensor:
    target = _read_chunk(ranker, task, chunk)
    if task.sampling is None:
        losses = full_losses(ranker, task, target, ranker.item_encoder(task.inputs))
    else:
        frequency = torch.from_numpy(task.sampling[drawn] * task.negatives).log()
        items = distinct(target, torch.from_numpy(drawn).to(ranker.device))
        losses = sampled_losses(ranker, task, target, items, frequency.to(ranker.device))
    return weighted_mean(losses, target.weight)


def rows_of(vectors: Tensor, places: Tensor) -> Tensor:
    """vectors (n, dim) at places of any shape.

    As an embedding: what flows back to a row is summed in one order. `vectors[places]` lets threads
    add in the order in which they come, and two trainings of one log differ from then on.
    """
    return functional.embedding(places, vectors)


def full_losses(ranker: Ranker, task: EncoderTask, target: Targets, vectors: Tensor) -> Tensor:
    """(r,) cross-entropy against every item; vectors (n, dim)."""
    states = ranker.history_encoder(target.batch, rows_of(vectors, target.batch.item))[:, :-1]
    taste, gates = ranker.user_states(target.of_places(states))
    logits = taste @ vectors.T + _prior(gates, task.prior[target.snapshot])
    return functional.cross_entropy(logits.float(), target.item, reduction="none")


def sampled_losses(
    ranker: Ranker, task: EncoderTask, target: Targets, items: Occurrences, log_frequency: Tensor
) -> Tensor:
    """(r,) cross-entropy against drawn items (m,), corrected for how often each is drawn."""
    vectors = ranker.item_encoder(task.inputs, items.item)
    states = ranker.history_encoder(target.batch, rows_of(vectors, items.own))[:, :-1]
    taste, gates = ranker.user_states(target.of_places(states))
    basis = task.prior[:, items.drawn][target.snapshot]
    logits = taste @ rows_of(vectors, items.negative).T + _prior(gates, basis)
    logits = subtract_log_frequency(logits.float(), log_frequency)
    logits = mask_accidental_hits(logits, items.drawn, target.item)
    positive = (taste * rows_of(vectors, target.of_places(items.own))).sum(-1)
    positive = positive + (gates * task.prior[target.snapshot, target.item]).sum(-1)
    logits = torch.cat([positive.unsqueeze(1).float(), logits], dim=1)
    return torch.logsumexp(logits, dim=1) - logits[:, 0]


def _prior(gates: Tensor, basis: Tensor) -> Tensor:
    """gates (r, k), basis (r, m, k) -> (r, m)."""
    return torch.bmm(basis, gates.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def next_item_loss(
    ranker: Ranker, task: EncoderTask, *, start: int, most_users: int, rng: np.random.Generator
) -> float:
    """Cross-entropy of what users took from `start` (unix seconds) on, each row given those before.

    Smoother than a ranking metric, so that early stopping works where few users are in the window.
    """
    ranker.eval()
    log = task.log
    later = np.bincount(log.user[log.timestamp >= start], minlength=log.num_users)
    users = np.flatnonzero(later)
    users = np.sort(rng.permutation(users)[:most_users])
    ends = log.offsets[1:][users]
    starts = np.maximum(ends - ranker.shape.length, log.offsets[:-1][users])
    vectors = ranker.item_encoder(task.inputs)
    # In float64 and on the device: a card that is asked for a number waits.
    total = vectors.new_zeros((), dtype=torch.float64)
    weight = torch.zeros_like(total)
    order = np.argsort(ends - starts, kind="stable")
    for part in np.array_split(order, -(-len(order) // 16)) if len(order) else []:
        target = _read_chunk(ranker, task, Chunk(starts[part], ends[part]))
        chosen = torch.from_numpy(log.timestamp[target.rows] >= start).to(ranker.device)
        losses = full_losses(ranker, task, target, vectors)[chosen]
        total += (losses * target.weight[chosen]).sum()
        weight += target.weight[chosen].sum()
    return float(total) / max(float(weight), 1e-9)
