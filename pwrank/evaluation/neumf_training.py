"""NeuMF trained as fast as the processor multiplies: gradients by hand, blocks on all cores.

The first layer is linear before its relu, so it is computed once for each distinct user and item of
a batch and added up for the pairs; its way back sums over the pairs first. Adam touches only the
rows of a batch and their moments (torch calls this SparseAdam), the layers as usual.

Mixed precision (Micikevicius et al. 2018): where the processor multiplies bfloat16 natively, it is
what goes into a matrix product and comes out of it; products add up in float32, and weights, loss,
sums over pairs, rows and blocks, and Adam are float32 throughout. Elsewhere all is float32.

Work is cut into blocks of a fixed size, each on one core, and their sums are added in order: the
number of cores does not change the outcome.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pwrank.evaluation import neumf_kernels as kernels
from pwrank.evaluation.neumf_network import DIM, SHAPES, WIDTHS, Network, views
from pwrank.lists.workers import Run
from pwrank.machine import multiplies_bfloat16
from pwrank.ranker.history import FloatArray, IntArray

BLOCK = 1024
"""Pairs or rows that a core works on at a time: few enough for its cache."""
WHOLE = 128
"""Rows are multiplied in multiples of so many: torch prepares each new size for half a ms."""
LEARNING_RATE = 1e-3
DECAY = (0.9, 0.999)
LEAST = 1e-8
"""Added to the root of the mean square."""
MULTIPLIED = ("weight2", "weight3")
"""Layers of which a step multiplies the whole; of the first each side has a half."""


def dtype_of_products() -> torch.dtype:
    """What this processor multiplies fastest."""
    return torch.bfloat16 if multiplies_bfloat16() else torch.float32


def blocks(rows: int) -> list[slice]:
    """BLOCK rows each, the last one fewer."""
    return [slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK)]


def whole(rows: int) -> int:
    """The next multiple of WHOLE."""
    return -(-rows // WHOLE) * WHOLE


class Adam:
    """Running means of the gradients of a table or of all layers, and of their squares."""

    def __init__(self, values: FloatArray) -> None:
        """values: (rows, dim) or (n,), changed in place."""
        self.values = values
        self.mean, self.square = np.zeros_like(values), np.zeros_like(values)

    def move(self, slopes: FloatArray, step: int) -> None:
        """Change all values. slopes: as many, step: from 1."""
        kernels.adam(self.values, self.mean, self.square, slopes, *_rates(step))

    def move_rows(
        self, rows: IntArray, product: FloatArray, read: kernels.Operands, step: int
    ) -> None:
        """Change some rows of a table. product, read: slopes of their first and last columns."""
        kernels.adam_rows(self.values, self.mean, self.square, rows, product, read, *_rates(step))


def _rates(step: int) -> tuple[kernels.Decay, kernels.Rates]:
    """As `kernels.adam` takes them."""
    rate = LEARNING_RATE / (1 - DECAY[0] ** step)
    scale = 1 / math.sqrt(1 - DECAY[1] ** step)
    keep, keep_square = DECAY
    return (
        (np.float32(keep), np.float32(keep_square)),
        (np.float32(rate), np.float32(scale), np.float32(LEAST)),
    )


class Shared:
    """Zeros at first; torch multiplies them and compiled loops change them in the same memory."""

    def __init__(self, *shape: int, dtype: torch.dtype) -> None:
        """dtype: float32 or bfloat16, of which the loops see the bits."""
        self.tensor = torch.zeros(shape, dtype=dtype)
        bits = torch.uint16 if dtype == torch.bfloat16 else dtype
        self.array: kernels.Operands = self.tensor.view(bits).numpy()


@dataclass(frozen=True)
class Returned:
    """What came back to the pairs of a step."""

    slopes: kernels.Operands
    """(pairs, WIDTHS[1]): by the first layer before its relu."""
    errors: FloatArray
    """(pairs,): by the score."""
    product: FloatArray
    """(DIM,) weights of the product."""


class Side:
    """Users or items: their table, and what a step knows of the distinct ones of its pairs."""

    def __init__(self, values: Tensor, columns: slice, pairs: int, dtype: torch.dtype) -> None:
        """columns: of the first layer that read this side; pairs: of a step at most."""
        most = whole(min(pairs, len(values)))
        self.adam, self.columns, self.count = Adam(values.numpy()), columns, 0
        self.distinct, self.places = np.empty(most, np.int64), np.empty(pairs, np.int32)
        self._slots = np.full(len(values), -1, np.int32)
        self._ends, self._pairs = np.empty(most + 1, np.int32), np.empty(pairs, np.int32)
        self.rows, self._rows_back = np.empty((2, most, DIM), np.float32)
        self._read, self._read_back = (Shared(most, DIM, dtype=dtype) for _ in range(2))
        self.part, self._part_back = (Shared(most, WIDTHS[1], dtype=dtype) for _ in range(2))
        self._layer = torch.empty(WIDTHS[1], DIM, dtype=dtype)
        self.layer_back = torch.empty(len(blocks(most)), WIDTHS[1], DIM, dtype=dtype)
        self.product_back = np.empty((len(blocks(most)), DIM), np.float32)

    def begin(self, ids: IntArray, weights: dict[str, Tensor]) -> None:
        """Find the distinct rows of a step's pairs, and what to multiply them by."""
        self._layer.copy_(weights["weight1"][:, self.columns])
        self.count = kernels.number_distinct(
            ids, self._slots, self.distinct, self.places, self._ends, self._pairs
        )

    def forward(self, block: slice) -> None:
        """What these rows give to the first layer."""
        rows = slice(block.start, min(block.stop, self.count))
        kernels.take_rows(
            self.adam.values, self.distinct[rows], self.rows[rows], self._read.array[rows]
        )
        torch.mm(self._read.tensor[block], self._layer.T, out=self.part.tensor[block])

    def backward(self, block: slice, other: Side, back: Returned, step: int) -> None:
        """Sum what came back to the pairs and move these rows.

        What the rows say of the layers is kept by block.
        """
        rows, number = slice(block.start, min(block.stop, self.count)), block.start // BLOCK
        kernels.sum_pairs(
            self._ends[rows.start : rows.stop + 1],
            self._pairs,
            other.places,
            back.slopes,
            back.errors,
            self.rows[rows],
            other.rows,
            back.product,
            self._part_back.array[block],
            self._rows_back[rows],
            self.product_back[number],
        )
        part_back = self._part_back.tensor[block]
        torch.mm(part_back.T, self._read.tensor[block], out=self.layer_back[number])
        torch.mm(part_back, self._layer, out=self._read_back.tensor[block])
        self.adam.move_rows(
            self.distinct[rows], self._rows_back[rows], self._read_back.array[rows], step
        )


class Trainer:
    """A network in training, changed in place; its own memory is that of the largest step."""

    def __init__(self, network: Network, *, pairs: int, dtype: torch.dtype) -> None:
        """pairs: of a step at most; dtype: of matrix products, float32 or bfloat16."""
        self.users = Side(network.users, slice(0, DIM), pairs, dtype)
        self.items = Side(network.items, slice(DIM, 2 * DIM), pairs, dtype)
        self._weights = views(network.flat)
        self._arrays = {name: part.numpy() for name, part in self._weights.items()}
        self.adam, self._steps = Adam(network.flat.numpy()), 0
        self._gradient = torch.zeros_like(network.flat)
        self._layers = {name: torch.empty(SHAPES[name], dtype=dtype) for name in MULTIPLIED}
        self._parts = {
            name: Shared(
                len(blocks(pairs)), *shape, dtype=dtype if name in MULTIPLIED else torch.float32
            )
            for name, shape in SHAPES.items()
            if name not in {"weight1", "product"}
        }
        self._states = [Shared(pairs, width, dtype=dtype) for width in WIDTHS[1:]]
        self._back = [Shared(pairs, width, dtype=dtype) for width in WIDTHS[1:]]
        self._scores, self._errors = np.empty((2, pairs), np.float32)

    def step(self, user: IntArray, item: IntArray, label: FloatArray, run: Run) -> float:
        """One step on (pairs,) users, items and labels of 0 or 1. Returns the mean loss before."""
        users, items = self.users, self.items
        users.begin(user, self._weights)
        items.begin(item, self._weights)
        for name, layer in self._layers.items():
            layer.copy_(self._weights[name])
        self._steps += 1
        sides = ((items, users), (users, items))
        rows = [(*pair, block) for pair in sides for block in blocks(whole(pair[0].count))]
        run([partial(side.forward, block) for side, _, block in rows])
        losses = run([partial(self._pairs, block, label) for block in blocks(len(label))])
        back = Returned(self._back[0].array, self._errors, self._arrays["product"])
        run(
            [partial(side.backward, block, other, back, self._steps) for side, other, block in rows]
        )
        self._move_layers(len(losses))
        return float(sum(losses)) / len(label)

    def _move_layers(self, used: int) -> None:
        """Sum what so many blocks of pairs, and those of the rows, say of the layers."""
        gradient = views(self._gradient)
        for name, part in self._parts.items():
            torch.sum(part.tensor[:used], 0, dtype=torch.float32, out=gradient[name])
        for side in (self.users, self.items):
            backs, own = side.layer_back[: len(blocks(side.count))], gradient["weight1"]
            torch.sum(backs, 0, dtype=torch.float32, out=own[:, side.columns])
        # Summed over the items it would be the same.
        own_blocks = len(blocks(self.users.count))
        self.users.product_back[:own_blocks].sum(0, out=gradient["product"].numpy())
        self.adam.move(self._gradient.numpy(), self._steps)

    def _pairs(self, block: slice, label: FloatArray) -> float:
        """Forth and back through all but the first layer's products. Returns the summed loss."""
        weights, users, items, number = self._arrays, self.users, self.items, block.start // BLOCK
        first, second, third = (states.tensor[block] for states in self._states)
        units, second_units, third_units = (states.array[block] for states in self._states)
        first_back, second_back, third_back = (back.tensor[block] for back in self._back)
        slopes, second_slopes, third_slopes = (back.array[block] for back in self._back)
        parts = {name: part.array[number] for name, part in self._parts.items()}
        kernels.first_layer(
            users.part.array,
            items.part.array,
            weights["bias1"],
            users.rows,
            items.rows,
            weights["product"],
            users.places[block],
            items.places[block],
            units,
            self._scores[block],
        )
        torch.mm(first, self._layers["weight2"].T, out=second)
        kernels.hidden_layer(second_units, weights["bias2"])
        torch.mm(second, self._layers["weight3"].T, out=third)
        kernels.hidden_layer(third_units, weights["bias3"])
        loss, parts["bias"][0] = kernels.last_layer(
            third_units,
            weights["perceptron"],
            weights["bias"][0],
            self._scores[block],
            label[block],
            np.float32(1 / len(label)),
            self._errors[block],
            third_slopes,
            parts["perceptron"],
        )
        kernels.through_relu(third_units, third_slopes, parts["bias3"])
        torch.mm(third_back.T, second, out=self._parts["weight3"].tensor[number])
        torch.mm(third_back, self._layers["weight3"], out=second_back)
        kernels.through_relu(second_units, second_slopes, parts["bias2"])
        torch.mm(second_back.T, first, out=self._parts["weight2"].tensor[number])
        torch.mm(second_back, self._layers["weight2"], out=first_back)
        kernels.through_relu(units, slopes, parts["bias1"])
        return loss
