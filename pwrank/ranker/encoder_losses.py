"""Losses of stage one: what each target of a batch costs, against drawn items or all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pwrank.ranker.encoder_task import EncoderTask
from pwrank.ranker.history import IntArray
from pwrank.ranker.history_encoder import HistoryBatch
from pwrank.ranker.model import Ranker
from pwrank.ranker.sampled_softmax import (
    Drawn,
    plain_sampled_softmax,
    prior_logits,
    sampled_softmax,
)


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


def weighted_mean(losses: Tensor, weight: Tensor) -> Tensor:
    """Of (r,) losses; 0 where nothing counts."""
    return (losses * weight).sum() / weight.sum().clamp(min=1e-9)


def rows_of(vectors: Tensor, places: Tensor) -> Tensor:
    """vectors (n, dim) at places of any shape.

    As an embedding: what flows back to a row is summed in one order. `vectors[places]` lets threads
    add in the order in which they come, and two trainings of one log differ from then on.
    """
    return functional.embedding(places, vectors)


def full_losses(
    ranker: Ranker,
    task: EncoderTask,
    target: Targets,
    vectors: Tensor,
    only: Tensor | None = None,
) -> Tensor:
    """(r,) cross-entropy against every item; vectors (n, dim).

    only: (r,) bool, the targets that are asked for; the rest are left out.
    """
    states = ranker.history_encoder(target.batch, rows_of(vectors, target.batch.item))[:, :-1]
    asked = (*ranker.user_states(target.of_places(states)), target.item, target.snapshot)
    taste, gates, item, snapshot = asked if only is None else (value[only] for value in asked)
    if ranker.device.type != "cpu":
        logits = taste @ vectors.T + prior_logits(gates, task.prior[snapshot])
        return functional.cross_entropy(logits.float(), item, reduction="none")
    positive = _own_logits(taste, gates, rows_of(vectors, item), task.prior[snapshot, item])
    every, offset = torch.arange(len(vectors)), torch.zeros(len(vectors))
    drawn = Drawn(basis=task.prior, offset=offset, item=every, target=item, snapshot=snapshot)
    return sampled_softmax(taste, gates, vectors, positive, drawn)


def sampled_losses(
    ranker: Ranker, task: EncoderTask, target: Targets, items: Occurrences, log_frequency: Tensor
) -> Tensor:
    """(r,) cross-entropy against drawn items (m,), corrected for how often each is drawn.

    logQ correction (Bengio and Senecal 2008; Yi et al., RecSys 2019): less the logarithm of how
    often each was to be drawn, so that the sampled softmax estimates the full one. A target that
    is drawn does not compete with itself.
    """
    vectors = ranker.item_encoder(task.inputs, items.item)
    states = ranker.history_encoder(target.batch, rows_of(vectors, items.own))[:, :-1]
    taste, gates = ranker.user_states(target.of_places(states))
    own = rows_of(vectors, target.of_places(items.own))
    positive = _own_logits(taste, gates, own, task.prior[target.snapshot, target.item])
    softmax = sampled_softmax if ranker.device.type == "cpu" else plain_sampled_softmax
    drawn = Drawn(
        basis=task.prior.index_select(1, items.drawn),
        offset=-log_frequency.float(),
        item=items.drawn,
        target=target.item,
        snapshot=target.snapshot,
    )
    return softmax(taste, gates, rows_of(vectors, items.negative), positive, drawn)


def _own_logits(taste: Tensor, gates: Tensor, vectors: Tensor, basis: Tensor) -> Tensor:
    """(r,) of the targets: their vectors (r, dim), and their popularity in their time (r, k)."""
    return (taste * vectors).sum(-1) + (gates * basis).sum(-1)
