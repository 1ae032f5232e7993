"""NeuMF (He et al. 2017): what it is made of, and its score in the plainest form.

Two tables a side, one multiplied (matrix factorisation) and one read by a perceptron; a linear
layer joins both. As RecBole has it: towers of 64, embeddings from N(0, 0.01), layers as torch
begins them. Here with hidden layers of 128, 64 and 32, and without dropout.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

DIM = 64
"""Of each of the two embeddings of a user or an item."""
WIDTHS = (2 * DIM, 128, 64, 32)
"""Input and hidden layers of the perceptron."""
EMBEDDING_SCALE = 0.01


def _shapes() -> dict[str, tuple[int, ...]]:
    """Weights and biases of the layers, then what joins both towers, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (wide, narrow) in enumerate(itertools.pairwise(WIDTHS), start=1):
        shapes |= {f"weight{number}": (narrow, wide), f"bias{number}": (narrow,)}
    return shapes | {"product": (DIM,), "perceptron": (WIDTHS[-1],), "bias": (1,)}


SHAPES = _shapes()
WEIGHTS = sum(math.prod(shape) for shape in SHAPES.values())


def views(flat: Tensor) -> dict[str, Tensor]:
    """The named parts of (WEIGHTS,) numbers; they share its memory."""
    parts = torch.split(flat, [math.prod(shape) for shape in SHAPES.values()])
    return {
        name: part.view(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)
    }


@dataclass(frozen=True)
class Network:
    """All float32."""

    users: Tensor
    """(users, 2 DIM): what is multiplied, then what the perceptron reads."""
    items: Tensor
    """(items, 2 DIM)."""
    flat: Tensor
    """(WEIGHTS,): all layers, see `views`."""

    def scores(self, user: Tensor, item: Tensor) -> Tensor:
        """(pairs,) logits of pairs of rows. The plain form: what faster ones have to equal."""
        weights = views(self.flat)
        mine, its = self.users[user], self.items[item]
        states = torch.cat([mine[:, DIM:], its[:, DIM:]], dim=1)
        for number in range(1, len(WIDTHS)):
            layer = functional.linear(states, weights[f"weight{number}"], weights[f"bias{number}"])
            states = layer.relu()
        product = (mine[:, :DIM] * its[:, :DIM]) @ weights["product"]
        return product + states @ weights["perceptron"] + weights["bias"]


def new_network(users: int, items: int, seed: torch.Generator) -> Network:
    """Random embeddings and layers."""
    tables = [
        torch.randn(rows, 2 * DIM, generator=seed) * EMBEDDING_SCALE for rows in (users, items)
    ]
    flat = torch.rand(WEIGHTS, generator=seed) * 2 - 1
    fan_in = {f"{kind}{n + 1}": WIDTHS[n] for n in range(3) for kind in ("weight", "bias")}
    for name, part in views(flat).items():
        part.div_(math.sqrt(fan_in.get(name, DIM + WIDTHS[-1])))
    return Network(tables[0], tables[1], flat)
