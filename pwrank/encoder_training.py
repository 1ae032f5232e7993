"""Stage one: teach item vectors and history encoder to find what comes next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pwrank.batching import Chunk, pad_rows, to_device, training_chunks
from pwrank.history import FloatArray, Histories, IntArray
from pwrank.item_encoder import ItemInputs
from pwrank.losses import mask_accidental_hits, subtract_log_frequency
from pwrank.ranker import Ranker

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
    sampling: FloatArray | None
    """(n,) probability of each item as a negative; None = full softmax."""
    negatives: int
    """Sampled per batch, shared by its rows."""
    batch_tokens: int
    """Interactions per step."""


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
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def train_epoch(
    ranker: Ranker, task: EncoderTask, optimizer: torch.optim.Optimizer, rng: np.random.Generator
) -> float:
    """One pass over the log; returns the mean loss."""
    ranker.train()
    losses = []
    chunks = training_chunks(
        task.log, length=ranker.shape.length, tokens=task.batch_tokens, rng=rng
    )
    for chunk in chunks:
        with torch.autocast(ranker.device.type, torch.bfloat16, enabled=ranker.device.type == "cuda"):
            loss = _chunk_loss(ranker, task, chunk, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ranker.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean()) if losses else 0.0


def _chunk_loss(
    ranker: Ranker, task: EncoderTask, chunk: Chunk, rng: np.random.Generator
) -> Tensor:
    batch, rows = pad_rows(
        task.log, chunk.starts, chunk.ends, ranker.scale, events=ranker.shape.events
    )
    batch = to_device(batch, ranker.device)
    taken = rows[rows >= 0]
    snapshot = torch.from_numpy(task.timeline.at(task.log.timestamp[taken])).to(ranker.device)
    weight = torch.from_numpy(task.log.weight[taken]).to(ranker.device)
    positive = batch.item[batch.mask]
    dim = ranker.shape.dim
    if task.sampling is None:
        vectors = ranker.item_encoder(task.inputs)
        states = ranker.history_encoder(batch, vectors[batch.item])[:, :-1][batch.mask]
        users = ranker.user_states(states)
        logits = users[:, :dim] @ vectors.T + _prior(users[:, dim:], task.prior[snapshot])
        losses = functional.cross_entropy(logits.float(), positive, reduction="none")
        return (losses * weight).sum() / weight.sum()
    drawn = rng.choice(len(task.sampling), task.negatives, p=task.sampling)
    needed, place = torch.unique(
        torch.cat([batch.item.flatten(), torch.from_numpy(drawn).to(ranker.device)]),
        return_inverse=True,
    )
    vectors = ranker.item_encoder(task.inputs, needed)
    own, negative = place[: batch.item.numel()].view_as(batch.item), place[batch.item.numel() :]
    states = ranker.history_encoder(batch, vectors[own])[:, :-1][batch.mask]
    users = ranker.user_states(states)
    items = needed[negative]
    logits = users[:, :dim] @ vectors[negative].T
    logits = logits + _prior(users[:, dim:], task.prior[:, items][snapshot])
    frequency = torch.from_numpy(task.sampling[drawn] * task.negatives).to(ranker.device).log()
    logits = subtract_log_frequency(logits.float(), frequency)
    logits = mask_accidental_hits(logits, items, positive)
    own_logit = (users[:, :dim] * vectors[own[batch.mask]]).sum(-1)
    own_logit = own_logit + (users[:, dim:] * task.prior[snapshot, positive]).sum(-1)
    logits = torch.cat([own_logit.unsqueeze(1).float(), logits], dim=1)
    losses = torch.logsumexp(logits, dim=1) - logits[:, 0]
    return (losses * weight).sum() / weight.sum()


def _prior(gate: Tensor, basis: Tensor) -> Tensor:
    """gate (r, k), basis (r, m, k) -> (r, m)."""
    return torch.bmm(basis, gate.unsqueeze(-1)).squeeze(-1)
