"""Compiled loops over bfloat16: its bits are those of torch, and float32 passes as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwrank.ranker.compiled import compiled, narrowed, widened


@compiled
def copy_of(values, out):
    """Each value as an element of `out`."""
    for place in range(len(values)):
        out[place] = narrowed(widened(values[place]), out)


def some_values():
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(5000) * 10.0 ** rng.integers(-38, 38, 5000)).astype(np.float32)
    halves = (np.arange(2000, dtype=np.uint32) << 15 | 0x3F800000).view(np.float32)
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, 1e-45], np.float32)
    return np.concatenate([values, halves, -halves, odd])


def test_float32_is_rounded_to_bfloat16_as_torch_rounds_it():
    values = some_values()
    bits = np.empty(len(values), np.uint16)
    copy_of(values, bits)
    wanted = torch.from_numpy(values).to(torch.bfloat16)
    found = torch.from_numpy(bits).view(torch.bfloat16)
    assert torch.equal(found.isnan(), wanted.isnan())
    assert torch.equal(found[~found.isnan()], wanted[~wanted.isnan()])


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_what_fits_is_kept_bit_by_bit(kind):
    short = torch.from_numpy(some_values()).to(torch.bfloat16)
    values = short.view(torch.uint16).numpy() if kind == np.uint16 else short.float().numpy()
    found = np.empty_like(values)
    copy_of(values, found)
    assert found.tobytes() == values.tobytes()
    wide = np.empty(len(values), np.float32)
    copy_of(values, wide)
    assert wide.tobytes() == short.float().numpy().tobytes()
