"""Epochs with early stopping, a checkpoint after each, and the same end after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pwrank.ranker.checkpoints import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from pwrank.ranker.model import Ranker
from pwrank.ranker.moving_average import MovingAverage

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called as progress(phase, epochs done, epochs planned, figures)."""


@dataclass
class Epochs:
    """Where a phase stands; what a checkpoint holds besides the weights."""

    phase: str
    """`search` (before the window, to find when to stop) or `final` (everything)."""
    planned: int
    """Epochs at most."""
    patience: int
    """Epochs without improvement before stopping."""
    done: int = 0
    """Epochs behind us."""
    best: int = 0
    """Epoch of the lowest validation loss."""
    best_loss: float = float("inf")
    """The lowest validation loss."""

    @property
    def going_on(self) -> bool:
        """Another epoch is worth it."""
        return self.done < self.planned and self.done - self.best <= self.patience


@dataclass(frozen=True)
class Step:
    """What one epoch does, and how good the result is."""

    train: Callable[[MovingAverage, np.random.Generator], float]
    """Trains one epoch and averages the weights as it goes; returns the training loss."""
    validate: Callable[[Ranker], float] | None
    """Validation loss, lower is better; None = the newest epoch is the best."""


def run_epochs(
    ranker: Ranker,
    optimizer: torch.optim.Optimizer,
    epochs: Epochs,
    step: Step,
    *,
    seed: int,
    decay: float,
    checkpoint: Path | None,
    progress: Progress | None,
) -> Epochs:
    """Train until there is no use in going on; leaves the best averaged weights in the ranker.

    Every epoch draws from its own generator, made from the seed and its number, so that a resumed
    phase goes on as if it had not been killed.
    """
    folder = None if checkpoint is None else checkpoint / epochs.phase
    average = MovingAverage(ranker, decay)
    averaged = cast("Ranker", average.module)
    best = _copy(ranker)
    if (found := load_checkpoint(folder)) is not None:
        tensors, facts = found
        ranker.load_state_dict(without_prefix("model", tensors))
        average.load_state_dict(without_prefix("average", tensors))
        restore_optimizer(optimizer, without_prefix("optimizer", tensors))
        best, epochs = without_prefix("best", tensors), Epochs(**facts)
    while epochs.going_on:
        rng = np.random.default_rng([seed, epochs.done, len(epochs.phase)])
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))
            training_loss = step.train(average, rng)
        loss = -float(epochs.done) if step.validate is None else step.validate(averaged)
        epochs.done += 1
        if loss < epochs.best_loss:
            epochs.best_loss, epochs.best, best = loss, epochs.done, _copy(averaged)
        if folder is not None:
            _save(folder, (ranker, average, optimizer), best, epochs)
        if progress is not None:
            figures = {"training_loss": training_loss}
            if step.validate is not None:
                figures["validation_loss"] = loss
            progress(epochs.phase, epochs.done, epochs.planned, figures)
    ranker.load_state_dict(best)
    return epochs


def _copy(ranker: Ranker) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in ranker.state_dict().items()}


def _save(
    folder: Path,
    state: tuple[Ranker, MovingAverage, torch.optim.Optimizer],
    best: dict[str, Tensor],
    epochs: Epochs,
) -> None:
    ranker, average, optimizer = state
    tensors = with_prefix("model", ranker.state_dict()) | with_prefix("best", best)
    tensors |= with_prefix("average", average.state_dict())
    tensors |= with_prefix("optimizer", optimizer_tensors(optimizer))
    save_checkpoint(folder, tensors, vars(epochs))
