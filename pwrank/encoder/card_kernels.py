"""What a CUDA card does between two matrix products, each in one pass over memory.

In single steps, sum, norm and cast move the activations three times, which takes as long as the
products. Every row is reduced by the same threads in the same order, whatever its neighbours are.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

ROWS = 4
"""Rows of a program: enough bytes in flight where a row is short."""


@triton.jit  # type: ignore[untyped-decorator]
def _add_norm(  # type: ignore[no-untyped-def] # noqa: ANN202, PLR0913, PLR0917 - compiled
    states,  # noqa: ANN001 - what a type is, the compiler of kernels does not know
    update,  # noqa: ANN001
    weight,  # noqa: ANN001
    bias,  # noqa: ANN001
    wide,  # noqa: ANN001
    narrow,  # noqa: ANN001
    size,  # noqa: ANN001
    dim,  # noqa: ANN001
    eps,  # noqa: ANN001
    rows: tl.constexpr,
    columns: tl.constexpr,
):
    row = tl.program_id(0) * rows + tl.arange(0, rows)[:, None]
    column = tl.arange(0, columns)[None, :]
    there = column < dim
    inside = there & (row < size)
    place = row.to(tl.int64) * dim + column
    total = tl.load(states + place, mask=inside, other=0.0)
    total += tl.load(update + place, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(total, axis=1) / dim
    centred = tl.where(there, total - mean[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, axis=1) / dim + eps)
    factor = tl.load(weight + column, mask=there, other=0.0)
    shift = tl.load(bias + column, mask=there, other=0.0)
    normed = centred * scale[:, None] * factor + shift
    tl.store(wide + place, normed, mask=inside)
    tl.store(narrow + place, normed.to(narrow.dtype.element_ty), mask=inside)


def add_norm_on_card(states: Tensor, update: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """See `add_norm.add_norm`."""
    size, dim = states.shape
    wide, narrow = torch.empty_like(states), torch.empty_like(update)
    _add_norm[(triton.cdiv(size, ROWS),)](
        states,
        update,
        norm.weight,
        norm.bias,
        wide,
        narrow,
        size,
        dim,
        norm.eps,
        rows=ROWS,
        columns=triton.next_power_of_2(dim),
    )
    return wide, narrow
