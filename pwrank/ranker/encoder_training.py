"""Stage one: teach item vectors and history encoder to find what comes next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pwrank.ranker.batching import Chunk, pad_rows, to_device, training_chunks
from pwrank.ranker.encoder_losses import (
    Targets,
    distinct,
    full_losses,
    sampled_losses,
    weighted_mean,
)
from pwrank.ranker.encoder_task import EncoderTask, draw_negatives
from pwrank.ranker.history import IntArray
from pwrank.ranker.model import Ranker
from pwrank.ranker.moving_average import MovingAverage

TABLE = 2**26
"""Logits at once when every item is ranked: 256 MB of float32."""


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
    together = int(min(16, max(1, TABLE // (ranker.shape.length * max(len(vectors), 1)))))
    for part in np.array_split(order, -(-len(order) // together)) if len(order) else []:
        target = _read_chunk(ranker, task, Chunk(starts[part], ends[part]))
        chosen = torch.from_numpy(log.timestamp[target.rows] >= start).to(ranker.device)
        losses = full_losses(ranker, task, target, vectors, only=chosen)
        total += (losses * target.weight[chosen]).sum()
        weight += target.weight[chosen].sum()
    return float(total) / max(float(weight), 1e-9)
