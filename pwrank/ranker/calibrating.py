"""Raw scores -> probabilities: learned on the held-out window, carried over to the final ranker.

The final ranker has seen the window, so that it is surer of what it ranks than the one that the
calibrator was fitted on; where logs are small, several times as sure. What carries over is the
share of everybody's best candidates that is taken in as long a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pwrank.ranker.held_out_training import PairBlock, score_block
from pwrank.ranker.model import Ranker

MOST_SHIFT, SMALLEST_STEP = 20.0, 1e-6
"""Logits by which a calibrator may be shifted, and how exactly."""


@dataclass(frozen=True)
class _Best:
    """The best candidates of everybody; rows of users."""

    raw: Tensor
    """(u, c) float32."""
    label: Tensor
    """(u, c) float32: 1 = taken afterwards."""
    own: Tensor
    """(u, g) float32: user features."""


@torch.no_grad()
def _best_of(ranker: Ranker, blocks: list[PairBlock], vectors: Tensor, top: int) -> _Best:
    raws, labels = [], []
    for block in blocks:
        raw = score_block(ranker, block, vectors)
        best = raw.topk(min(top, raw.shape[1]), dim=1)
        raws.append(best.values)
        labels.append(block.label.gather(1, best.indices))
    own = torch.cat([block.user_features for block in blocks])
    return _Best(torch.cat(raws), torch.cat(labels), own)


def fit_calibrator(
    ranker: Ranker, blocks: list[PairBlock], vectors: Tensor, *, top: int, steps: int
) -> tuple[float, float]:
    """Log loss on the best `top` of everybody's candidates; returns it and the share taken.

    The users who took nothing are among the examples: without them every score is too high.
    """
    if not blocks:
        return 0.0, 0.0
    best = _best_of(ranker, blocks, vectors, top)
    calibrator = ranker.calibrator
    calibrator.standardise_as(best.own)
    taken = float(best.label.mean())
    rate = float(np.clip(taken, 1e-6, 1 - 1e-6))
    calibrator.start_at(float(np.log(rate / (1 - rate)) - best.raw.mean()))
    optimizer = torch.optim.Adam(calibrator.parameters(), lr=0.05)
    loss = torch.zeros(())
    for _ in range(steps):
        logits = calibrator(best.raw, best.own)
        loss = functional.binary_cross_entropy_with_logits(logits, best.label)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach()), taken


@torch.no_grad()
def carry_over(
    ranker: Ranker, blocks: list[PairBlock], vectors: Tensor, *, top: int, taken: float
) -> float:
    """Shift the calibrator until the best `top` of everybody's candidates have the mean `taken`.

    The order of no list changes. Returns the shift in logits; 0 where nothing or all was taken.
    """
    if not blocks or not 0.0 < taken < 1.0:
        return 0.0
    best = _best_of(ranker, blocks, vectors, top)
    logits = ranker.calibrator(best.raw, best.own).double()
    shift, step = 0.0, MOST_SHIFT / 2
    while step > SMALLEST_STEP:
        too_high = float(torch.sigmoid(logits + shift).mean()) > taken
        shift += -step if too_high else step
        step /= 2
    ranker.calibrator.shift_by(shift)
    return shift
