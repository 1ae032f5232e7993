"""Histories -> padded tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.history_encoder import HistoryBatch, gap_bucket


@dataclass(frozen=True)
class RatingScale:
    """Mean and standard deviation of the ratings of the training log."""

    mean: float
    std: float


def rating_scale(rating: FloatArray) -> RatingScale:
    """Of the ratings that are there; (0, 1) where there is none."""
    rated = rating[~np.isnan(rating)]
    if len(rated) == 0:
        return RatingScale(0.0, 1.0)
    return RatingScale(float(rated.mean()), max(float(rated.std()), 1e-6))


def pad_rows(
    histories: Histories,
    starts: IntArray,
    ends: IntArray,
    scale: RatingScale,
    *,
    events: int,
    width: int = 1,
) -> tuple[HistoryBatch, IntArray]:
    """Rows starts[i]:ends[i] of the log as one padded batch, and the row numbers (b, l), -1 = pad.

    Every item must be known: leave the others out first, `histories.keep(histories.item >= 0)`.
    width: l at least.
    """
    lengths = ends - starts
    width = max(int(lengths.max(initial=0)), width)
    columns = np.arange(width)
    inside = columns[None, :] < lengths[:, None]
    rows = np.where(inside, starts[:, None] + columns[None, :], 0)
    if histories.num_interactions == 0:
        return _empty_batch(len(starts), width), np.full((len(starts), width), -1, np.int64)
    first = first_rows(histories, starts)
    before = np.where(inside, np.maximum(rows - 1, first[:, None]), 0)
    gap = histories.timestamp[rows] - histories.timestamp[before]
    batch = HistoryBatch(
        item=torch.from_numpy(np.where(inside, histories.item[rows], 0)),
        event=torch.from_numpy(
            np.where(inside, np.minimum(histories.event[rows], events - 1), 0).astype(np.int64)
        ),
        rating=torch.from_numpy(
            np.where(inside, (histories.rating[rows] - scale.mean) / scale.std, np.nan)
        ).float(),
        gap=gap_bucket(torch.from_numpy(np.where(inside, gap, 0))),
        mask=torch.from_numpy(inside),
        truncated=torch.from_numpy((starts > first) & (lengths > 0)),
    )
    return batch, np.where(inside, rows, -1)


def first_rows(histories: Histories, starts: IntArray) -> IntArray:
    """(b,) first row of the history that each row starts[i] of the log lies in."""
    owner = np.searchsorted(histories.offsets[1:], starts, side="right")
    first: IntArray = histories.offsets[np.minimum(owner, histories.num_users - 1)]
    return first


def _empty_batch(size: int, width: int) -> HistoryBatch:
    zeros = torch.zeros(size, width, dtype=torch.long)
    return HistoryBatch(
        item=zeros,
        event=zeros,
        rating=torch.full((size, width), float("nan")),
        gap=zeros,
        mask=zeros.bool(),
        truncated=zeros[:, 0].bool(),
    )


def to_device(batch: HistoryBatch, device: torch.device) -> HistoryBatch:
    """The same batch on another device."""
    if device.type == "cpu":
        return batch
    return HistoryBatch(**{name: value.to(device) for name, value in vars(batch).items()})


@dataclass(frozen=True)
class Chunk:
    """Rows starts[i]:ends[i] of the log, i in 0..b-1: one training batch."""

    starts: IntArray
    ends: IntArray


def training_chunks(
    histories: Histories, *, length: int, tokens: int, most: int, rng: np.random.Generator
) -> Iterator[Chunk]:
    """Cut every history into pieces of at most `length` rows, once each, in random batches.

    Of a log of more than about `most` rows, batches that hold so many.

    Where a history is cut is drawn anew each epoch, so that every row is seen with many lengths of
    context. Pieces of like length share a batch of about `tokens` rows: little padding.
    """
    lengths = histories.lengths
    users = np.flatnonzero(lengths > 0)
    shift = np.where(lengths[users] > length, rng.integers(0, length, len(users)), 0)
    pieces = -(-(lengths[users] + shift) // length)
    owner = np.repeat(users, pieces)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin = number * length - np.repeat(shift, pieces)
    starts = histories.offsets[owner] + np.maximum(begin, 0)
    ends = histories.offsets[owner] + np.minimum(begin + length, lengths[owner])
    size = ends - starts
    order = np.lexsort((rng.random(len(size)), size))
    edges = _batch_edges(size[order], tokens)
    for index in rng.permutation(len(edges) - 1)[: -(-most // tokens)]:
        picked = order[edges[index] : edges[index + 1]]
        yield Chunk(starts[picked], ends[picked])


def _batch_edges(sizes: IntArray, tokens: int) -> list[int]:
    """Where to cut ascending sizes so that each batch pads to about `tokens` rows."""
    edges = [0]
    for index, size in enumerate(sizes):
        if (index + 1 - edges[-1]) * size > tokens and index > edges[-1]:
            edges.append(index)
    edges.append(len(sizes))
    return edges
