"""Weights averaged over the last steps of a training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage(nn.Module):
    """The last steps of a model, some 1 / (1 - decay) of them, fewer at the start.

    Steps over a small log are noisy, and the noise is in the weights; their average is what a
    falling learning rate would reach, without knowing the number of epochs beforehand (Izmailov et
    al. 2018; Morales-Brotons et al. 2024).
    """

    n_averaged: Tensor
    """() int64 on the processor: a card that is asked for it keeps everybody waiting."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)
        self.decay = decay
        self.register_buffer("n_averaged", torch.tensor(0))

    def next_weight(self) -> float:
        """What the next step counts for; the first one for everything."""
        steps = float(self.n_averaged)
        return 1.0 - min(self.decay, (1.0 + steps) / (10.0 + steps)) if steps else 1.0

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """One step further."""
        weight = self.next_weight()
        mine: list[Tensor] = list(self.module.parameters())
        new: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(mine, new, weight)
        for kept, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
        self.n_averaged += 1

    @torch.no_grad()
    def follow_on_card(self, model: nn.Module, weight: Tensor) -> None:
        """The same in a few kernels, with the weight (1,) on the card; steps are not counted."""
        mine: list[Tensor] = list(self.module.parameters())
        new: list[Tensor] = list(model.parameters())
        moves = list(torch._foreach_sub(new, mine))  # noqa: SLF001 - its public name
        torch._foreach_mul_(moves, weight.squeeze())
        torch._foreach_add_(mine, moves)
