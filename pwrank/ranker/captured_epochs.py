"""Epochs of stage one on a CUDA card, each step one captured graph.

A step of the default size is some 600 kernels of a few microseconds: asked for one by one, the card
waits most of the time. So the log lies on the card, a step is captured once for each width of
histories (CUDA graphs), and the processor only says which rows come next. Shapes must be fixed for
that: histories are padded to the next of a few widths, and padded places weigh nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from pwrank.ranker.batching import first_rows, training_chunks
from pwrank.ranker.card_log import card_log
from pwrank.ranker.encoder_losses import (
    Targets,
    every_occurrence,
    full_losses,
    sampled_losses,
    weighted_mean,
)
from pwrank.ranker.encoder_task import EncoderTask, draw_negatives
from pwrank.ranker.item_encoder import with_label_table
from pwrank.ranker.model import Ranker
from pwrank.ranker.moving_average import MovingAverage

EXACT_WIDTH = 8
"""Up to here every width has a graph of its own; above, every fourth."""

WARM_STEPS = 3
"""Before a capture: libraries choose their kernels and the optimiser makes its state."""


@dataclass(frozen=True)
class PlannedStep:
    """What the processor says of a step."""

    width: int
    """Padded width of its histories: which graph."""
    rows: Tensor
    """(3, tokens) int64: where histories begin, where they end, whether more came before."""
    drawn: Tensor
    """(m,) int64: items as negatives."""


def padded_width(width: int) -> int:
    """The width whose graph takes histories of this width."""
    return width if width <= EXACT_WIDTH else -(-width // 4) * 4


def most_rows(width: int, tokens: int) -> int:
    """Histories that a step of a padded width may hold: see `batching.training_chunks`."""
    narrowest = width if width <= EXACT_WIDTH else max(width - 3, EXACT_WIDTH + 1)
    return max(tokens // narrowest, 1)


def plan_epoch(task: EncoderTask, length: int, rng: np.random.Generator) -> Iterator[PlannedStep]:
    """What `encoder_training.train_epoch` does with this generator, step by step."""
    log, tokens = task.log, task.batch_tokens
    for chunk in training_chunks(log, length=length, tokens=tokens, most=task.epoch_rows, rng=rng):
        truncated = chunk.starts > first_rows(log, chunk.starts)
        told = np.stack([chunk.starts, chunk.ends, truncated])
        rows = np.zeros((3, tokens), np.int64)
        rows[:, : told.shape[1]] = told
        yield PlannedStep(
            width=padded_width(int((chunk.ends - chunk.starts).max())),
            rows=torch.from_numpy(rows),
            drawn=torch.from_numpy(draw_negatives(task, rng)),
        )


class CapturedEpochs:
    """`encoder_training.train_epoch` for a ranker on a card.

    The same steps over the same rows and negatives; rounding and dropout differ, and an item that
    occurs twice in a step loses its id (`id_dropout`) by two draws rather than one.
    """

    def __init__(self, ranker: Ranker, task: EncoderTask, optimizer: torch.optim.Optimizer) -> None:
        """Nothing is captured yet; the optimiser must be capturable."""
        device, full = ranker.device, task.sampling is None
        self._ranker, self._optimizer = ranker, optimizer
        self._task = replace(task, inputs=with_label_table(task.inputs))
        self._log = card_log(ranker, task)
        frequency = np.zeros(1) if full else np.log(np.asarray(task.sampling) * task.negatives)
        self._log_frequency = torch.from_numpy(frequency).float().to(device)
        drawn = 0 if full else task.negatives
        self._rows = torch.zeros(3, task.batch_tokens, dtype=torch.int64, device=device)
        self._drawn = torch.zeros(drawn, dtype=torch.int64, device=device)
        self._weight, self._loss = torch.ones(1, device=device), torch.zeros((), device=device)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._trained = [value for group in optimizer.param_groups for value in group["params"]]

    def train(self, average: MovingAverage, rng: np.random.Generator) -> float:
        """One pass over the log, or as much of it as an epoch may be; returns the mean loss.

        Steps are only asked for: the next one is planned while the card does those before.
        """
        self._ranker.train()
        losses = []
        for step in plan_epoch(self._task, self._ranker.shape.length, rng):
            if step.width not in self._graphs:
                self._graphs[step.width] = self._capture(step.width, average)
            self._rows.copy_(step.rows.pin_memory(), non_blocking=True)
            self._drawn.copy_(step.drawn.pin_memory(), non_blocking=True)
            self._weight.fill_(average.next_weight())
            self._graphs[step.width].replay()
            losses.append(self._loss.clone())
            average.n_averaged += 1
        return float(torch.stack(losses).mean()) if losses else 0.0

    def _capture(self, width: int, average: MovingAverage) -> torch.cuda.CUDAGraph:
        """Record a step of this width; nothing that it would change is changed."""
        kept = self._changed_by_a_step(average)
        before = [value.clone() for value in kept]
        there = len(self._optimizer.state) > 0
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_STEPS):
                self._step(width, average)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self._optimizer.zero_grad()
        with torch.cuda.graph(graph):
            self._step(width, average)
        for value, old in zip(kept, before, strict=True):
            value.copy_(old)
        if not there:
            for slots in self._optimizer.state.values():
                for slot in slots.values():
                    slot.zero_()
        return graph

    def _changed_by_a_step(self, average: MovingAverage) -> list[Tensor]:
        state = [slot for slots in self._optimizer.state.values() for slot in slots.values()]
        weights = [*self._ranker.parameters(), *average.module.parameters()]
        return [*(value.detach() for value in weights), *state]

    def _step(self, width: int, average: MovingAverage) -> None:
        """Of fixed shapes, and without asking the card for anything."""
        starts, ends, truncated = self._rows[:, : most_rows(width, self._task.batch_tokens)]
        target = self._log.read(starts, ends, truncated, width)
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            loss = weighted_mean(self._losses(target), target.weight)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimizer.step()
        average.follow_on_card(self._ranker, self._weight)
        self._loss.copy_(loss.detach())

    def _losses(self, target: Targets) -> Tensor:
        ranker, task = self._ranker, self._task
        if task.sampling is None:
            return full_losses(ranker, task, target, ranker.item_encoder(task.inputs))
        items = every_occurrence(target, self._drawn)
        frequency = self._log_frequency[self._drawn]
        return sampled_losses(ranker, task, target, items, frequency)
