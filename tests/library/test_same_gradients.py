"""Gradients that threads add up: the same bits every time, whatever thread comes first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from pwrank.ranker.encoder_losses import rows_of

ITEMS, DIM = 300, 64
PLACES = torch.randint(0, ITEMS, (40, 200), generator=torch.Generator().manual_seed(0))
WORTH = torch.randn(40, 200, DIM, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def gradient() -> Tensor:
    vectors = torch.linspace(-1.0, 1.0, ITEMS * DIM).view(ITEMS, DIM).requires_grad_()
    (rows_of(vectors, PLACES).square() * WORTH).sum().backward()
    assert vectors.grad is not None
    return vectors.grad


def test_rows_are_those_of_an_index() -> None:
    vectors = torch.randn(ITEMS, DIM)
    assert torch.equal(rows_of(vectors, PLACES), vectors[PLACES])


def test_what_flows_back_to_a_row_is_summed_in_one_order() -> None:
    first = gradient()
    assert all(torch.equal(gradient(), first) for _ in range(20))
