"""NeuMF trained as fast as the processor multiplies: gradients by hand, blocks on all cores.

The first layer is linear before its relu, so it is computed once for each distinct user and item of
a batch and added up for the pairs; its way back sums over the pairs first. Adam touches only the
rows of a batch and their moments (torch calls this SparseAdam), the layers as usual.

Work is cut into blocks of a fixed size, each on one core, and their sums are added in order: the
number of cores does not change the outcome.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pwrank.evaluation import neumf_kernels as kernels
from pwrank.evaluation.neumf_network import DIM, WEIGHTS, WIDTHS, Network, views
from pwrank.lists.workers import Run
from pwrank.ranker.history import FloatArray, IntArray

BLOCK = 1024
"""Pairs or rows that a core works on at a time: few enough for its cache."""
LEARNING_RATE = 1e-3
DECAY = (0.9, 0.999)
LEAST = 1e-8
"""Added to the root of the mean square."""

Weights = dict[str, Tensor]
"""Layers or their gradients by name, see `neumf_network.views`."""


def blocks(rows: int) -> list[slice]:
    """BLOCK rows each, the last one fewer."""
    return [slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK)]


class Adam:
    """Running means of the gradients of a table's rows and of their squares."""

    def __init__(self, values: Tensor) -> None:
        """values: (rows, dim), changed in place."""
        self._values = values.numpy()
        self._mean, self._square = np.zeros_like(self._values), np.zeros_like(self._values)

    def move(self, rows: IntArray, gradient: Tensor, step: int) -> None:
        """Change these rows; gradient: (len(rows), dim), step: from 1."""
        rate = LEARNING_RATE / (1 - DECAY[0] ** step)
        scale = 1 / math.sqrt(1 - DECAY[1] ** step)
        kernels.adam_rows(
            self._values,
            self._mean,
            self._square,
            rows,
            gradient.numpy(),
            (np.float32(DECAY[0]), np.float32(DECAY[1])),
            (np.float32(rate), np.float32(scale), np.float32(LEAST)),
        )


class Side:
    """Users or items: their table, and what a step knows of the distinct ones of its pairs."""

    def __init__(self, values: Tensor, columns: slice, pairs: int) -> None:
        """columns: of the first layer that read this side; pairs: of a step at most."""
        most = min(pairs, len(values))
        self.values, self.columns, self.adam = values, columns, Adam(values)
        self.distinct, self.places = np.empty(most, np.int64), np.empty(pairs, np.int32)
        self._slots = np.full(len(values), -1, np.int32)
        self.rows, self.rows_back = torch.empty(most, 2 * DIM), torch.empty(most, 2 * DIM)
        self.part, self.part_back = torch.empty(most, WIDTHS[1]), torch.empty(most, WIDTHS[1])
        self.layer_back = torch.empty(len(blocks(most)), WIDTHS[1], DIM)
        self.product_back = torch.empty(len(blocks(most)), DIM)
        self.count = 0

    def number(self, ids: IntArray) -> None:
        """Find the distinct rows of a step's pairs."""
        self.count = kernels.number_distinct(ids, self._slots, self.distinct, self.places)

    def forward(self, block: slice, weights: Weights) -> None:
        """What these rows give to the first layer."""
        rows = torch.from_numpy(self.distinct[block])
        torch.index_select(self.values, 0, rows, out=self.rows[block])
        own = weights["weight1"][:, self.columns]
        torch.mm(self.rows[block, DIM:], own.T, out=self.part[block])

    def sum_pairs(self, other: Side, back: Tensor, errors: Tensor) -> None:
        """Sum what came back to the pairs, by row. back (pairs, WIDTHS[1]), errors (pairs,)."""
        kernels.sum_by_row(
            self.places[: len(errors)],
            other.places,
            back.numpy(),
            errors.numpy(),
            other.rows[:, :DIM].numpy(),
            self.part_back[: self.count].numpy(),
            self.rows_back[: self.count, :DIM].numpy(),
        )

    def backward(self, block: slice, weights: Weights, step: int) -> None:
        """Move these rows; what they say of the layers is kept by block."""
        rows, back, part_back = self.rows[block], self.rows_back[block], self.part_back[block]
        number = block.start // BLOCK
        torch.mm(part_back.T, rows[:, DIM:], out=self.layer_back[number])
        torch.mm(part_back, weights["weight1"][:, self.columns], out=back[:, DIM:])
        kernels.through_product(
            rows[:, :DIM].numpy(),
            weights["product"].numpy(),
            back[:, :DIM].numpy(),
            self.product_back[number].numpy(),
        )
        self.adam.move(self.distinct[block], back, step)

    def add_layers(self, gradient: Weights) -> None:
        """Sum what the blocks kept."""
        used = len(blocks(self.count))
        torch.sum(self.layer_back[:used], 0, out=gradient["weight1"][:, self.columns])
        # Summed over users or over items it is the same: each gives half.
        gradient["product"] += self.product_back[:used].sum(0) / 2


class Trainer:
    """A network in training, changed in place; its own memory is that of the largest step."""

    def __init__(self, network: Network, *, pairs: int) -> None:
        """pairs: of a step at most."""
        self._users = Side(network.users, slice(0, DIM), pairs)
        self._items = Side(network.items, slice(DIM, 2 * DIM), pairs)
        self._weights = views(network.flat)
        self._adam, self._steps = Adam(network.flat[None]), 0
        self._gradients = torch.zeros(len(blocks(pairs)), WEIGHTS)
        self._parts = [views(gradient) for gradient in self._gradients]
        self._states = [torch.empty(pairs, width) for width in WIDTHS[1:]]
        self._back = [torch.empty(pairs, width) for width in WIDTHS[1:]]
        self._scores, self._errors = torch.empty(pairs), torch.empty(pairs)

    def step(self, user: IntArray, item: IntArray, label: FloatArray, run: Run) -> float:
        """One step on (pairs,) users, items and labels of 0 or 1. Returns the mean loss before."""
        users, items, weights = self._users, self._items, self._weights
        users.number(user)
        items.number(item)
        self._steps += 1
        rows = [(side, block) for side in (items, users) for block in blocks(side.count)]
        run([partial(side.forward, block, weights) for side, block in rows])
        losses = run([partial(self._pairs, block, label) for block in blocks(len(label))])
        back = self._back[0][: len(label)], self._errors[: len(label)]
        sides = ((users, items), (items, users))
        run([partial(mine.sum_pairs, other, *back) for mine, other in sides])
        run([partial(side.backward, block, weights, self._steps) for side, block in rows])
        gradient = self._gradients[: len(losses)].sum(0)
        for side in (users, items):
            side.add_layers(views(gradient))
        self._adam.move(np.zeros(1, np.int64), gradient[None], self._steps)
        return float(sum(losses)) / len(label)

    def _pairs(self, block: slice, label: FloatArray) -> float:
        """Forth and back through all but the first layer's products. Returns the summed loss."""
        weights, users, items = self._weights, self._users, self._items
        gradient = self._parts[block.start // BLOCK]
        first, second, third = (states[block] for states in self._states)
        first_back, second_back, third_back = (back[block] for back in self._back)
        kernels.first_layer(
            users.part.numpy(),
            items.part.numpy(),
            weights["bias1"].numpy(),
            users.rows[:, :DIM].numpy(),
            items.rows[:, :DIM].numpy(),
            weights["product"].numpy(),
            users.places[block],
            items.places[block],
            first.numpy(),
            self._scores[block].numpy(),
        )
        torch.addmm(weights["bias2"], first, weights["weight2"].T, out=second).relu_()
        torch.addmm(weights["bias3"], second, weights["weight3"].T, out=third).relu_()
        loss, gradient["bias"][0] = kernels.last_layer(
            third.numpy(),
            weights["perceptron"].numpy(),
            np.float32(weights["bias"][0]),
            self._scores[block].numpy(),
            label[block],
            np.float32(1 / len(label)),
            self._errors[block].numpy(),
            third_back.numpy(),
            gradient["perceptron"].numpy(),
        )
        torch.mm(third_back.T, second, out=gradient["weight3"])
        torch.mm(third_back, weights["weight3"], out=second_back)
        kernels.through_relu(second.numpy(), second_back.numpy(), gradient["bias2"].numpy())
        torch.mm(second_back.T, first, out=gradient["weight2"])
        torch.mm(second_back, weights["weight2"], out=first_back)
        kernels.through_relu(first.numpy(), first_back.numpy(), gradient["bias1"].numpy())
        torch.sum(third_back, 0, out=gradient["bias3"])
        return loss
