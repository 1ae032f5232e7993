"""Activations of the point-wise score, by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "identity": lambda logits: logits,
}
"""score = activation(fusion(user, item)); `sigmoid` makes it a probability."""
