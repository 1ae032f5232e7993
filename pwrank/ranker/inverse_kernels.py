"""The inverses of many small matrices at once, compiled.

LAPACK is called once a matrix, and of 17 rows it spends more time on the call than on the numbers;
here 32 matrices lie beside each other and every step is one instruction for some of them.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pwrank.ranker.compiled import compiled

T = TypeVar("T", np.float32, np.float64)

LANES = 32
"""Matrices beside each other; of 4 to 32 the fastest, and those of 17 rows still fit a cache."""


@compiled
def invert_each(matrices: npt.NDArray[T]) -> None:
    """Replace each symmetric positive definite matrix of (n, k, k) by its inverse.

    Gauss-Jordan without exchanges, which such matrices do not need. What becomes of a matrix does
    not depend on those beside it.
    """
    count, width = matrices.shape[0], matrices.shape[1]
    lanes = np.empty((width, width, LANES), matrices.dtype)
    factor = np.empty(LANES, matrices.dtype)
    for first in range(0, count, LANES):
        used = min(LANES, count - first)
        for a in range(width):
            for b in range(width):
                lanes[a, b] = 1 if a == b else 0
                for lane in range(used):
                    lanes[a, b, lane] = matrices[first + lane, a, b]
        for pivot in range(width):
            _sweep(lanes, pivot, factor)
        for a in range(width):
            for b in range(width):
                for lane in range(used):
                    matrices[first + lane, a, b] = lanes[a, b, lane]


@compiled
def _sweep(lanes: npt.NDArray[T], pivot: int, factor: npt.NDArray[T]) -> None:
    """One step of Gauss-Jordan: the row of the pivot is divided, then taken from the others."""
    own = lanes[pivot]
    # Not a constant: a loop of known length is unrolled before it could become vectors.
    beside = len(factor)
    for lane in range(beside):
        factor[lane] = 1 / own[pivot, lane]
        own[pivot, lane] = 1
    for b in range(len(own)):
        for lane in range(beside):
            own[b, lane] *= factor[lane]
    for a in range(len(lanes)):
        if a != pivot:
            _take_from(lanes[a], own, pivot, factor)


@compiled
def _take_from(
    row: npt.NDArray[T],
    own: npt.NDArray[T],
    pivot: int,
    factor: npt.NDArray[T],
) -> None:
    beside = len(factor)
    for lane in range(beside):
        factor[lane] = row[pivot, lane]
        row[pivot, lane] = 0
    for b in range(len(own)):
        for lane in range(beside):
            row[b, lane] -= factor[lane] * own[b, lane]
