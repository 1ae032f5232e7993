"""Residual sum and layer norm in one step; the result in float32 and as products take it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


def add_norm(states: Tensor, update: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """states (size, dim) float32 + update (size, dim) -> normed float32, and in update's type."""
    if update.is_cuda and (on_card := _kernel()) is not None:
        return on_card(states, update, norm)
    normed = functional.layer_norm(
        states + update, norm.normalized_shape, norm.weight, norm.bias, norm.eps
    )
    return normed, normed.to(update.dtype)


@functools.cache
def _kernel() -> Callable[[Tensor, Tensor, nn.LayerNorm], tuple[Tensor, Tensor]] | None:
    """The same in one pass; None where torch came without the compiler for it."""
    try:
        from pwrank.encoder.card_kernels import add_norm_on_card
    except ImportError:
        return None
    return add_norm_on_card
