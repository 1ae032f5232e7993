"""Stage one's softmax over drawn items: one table gives what autograd gives of the plain form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pwrank.ranker.dropout import dropout
from pwrank.ranker.sampled_softmax import (
    Drawn,
    by_moment,
    drawn_targets,
    plain_sampled_softmax,
    prior_logits,
    sampled_softmax,
)

TARGETS, WIDE, ITEMS, GATES, SNAPSHOTS = 60, 8, 40, 3, 5


def drawn(seed: int = 0) -> Drawn:
    random = torch.Generator().manual_seed(seed)
    return Drawn(
        basis=torch.randn(SNAPSHOTS, ITEMS, GATES, generator=random),
        offset=torch.randn(ITEMS, generator=random),
        item=torch.randint(0, 30, (ITEMS,), generator=random),
        target=torch.randint(0, 60, (TARGETS,), generator=random),
        snapshot=torch.randint(0, SNAPSHOTS, (TARGETS,), generator=random),
    )


def given(seed: int = 1) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    shapes = ((TARGETS, WIDE), (TARGETS, GATES), (ITEMS, WIDE), (TARGETS,))
    return tuple(torch.randn(*shape, generator=random).requires_grad_() for shape in shapes)


def told(softmax, items: Drawn) -> tuple[Tensor, tuple[Tensor, ...]]:
    values = given()
    losses = softmax(*values, items)
    worth = torch.linspace(0.0, 1.0, TARGETS)
    return losses.detach(), torch.autograd.grad((losses * worth).sum(), values)


@pytest.mark.parametrize("seed", range(4))
def test_losses_and_gradients_are_those_of_the_plain_form(seed: int) -> None:
    losses, gradients = told(sampled_softmax, drawn(seed))
    expected, others = told(plain_sampled_softmax, drawn(seed))
    assert torch.allclose(losses, expected, atol=1e-5)
    for mine, other in zip(gradients, others, strict=True):
        assert other.abs().max() > 0
        assert torch.allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("kinds", [torch.zeros, torch.ones])
def test_all_targets_may_be_of_one_moment(kinds) -> None:
    items = replace(drawn(), snapshot=kinds(TARGETS, dtype=torch.int64))
    losses, expected = (told(form, items)[0] for form in (sampled_softmax, plain_sampled_softmax))
    assert torch.allclose(losses, expected, atol=1e-5)


def test_a_target_that_is_drawn_does_not_compete_with_itself() -> None:
    items = drawn()
    table = torch.zeros(TARGETS, ITEMS, dtype=torch.bool)
    table[drawn_targets(items.item, items.target)] = True
    assert torch.equal(table, items.item.unsqueeze(0) == items.target.unsqueeze(1))
    assert table.sum() > 10
    nothing = drawn_targets(items.item, torch.full((3,), 99))
    assert len(nothing[0]) == len(nothing[1]) == 0


def test_targets_go_by_their_moment_and_back() -> None:
    snapshot = drawn().snapshot
    moments = by_moment(snapshot)
    for kind, first, end in moments.parts:
        assert (snapshot[moments.order[first:end]] == kind).all()
    assert moments.parts[-1][2] == TARGETS
    assert torch.equal(snapshot[moments.order][moments.back], snapshot)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_dropout_leaves_the_mean_and_its_share_out(share: float) -> None:
    torch.manual_seed(0)
    values = torch.ones(300, 333, requires_grad=True)
    out = dropout(values, share, training=True)
    out.sum().backward()
    out = out.detach()
    assert float((out == 0).double().mean()) == pytest.approx(share, abs=0.005)
    assert float(out.double().mean()) == pytest.approx(1.0, abs=0.01)
    assert len(out.unique()) == 2
    assert torch.equal(values.grad, out)
    torch.manual_seed(0)
    assert torch.equal(dropout(values, share, training=True), out)


def test_dropout_of_nearly_everything_leaves_something() -> None:
    out = dropout(torch.ones(300, 333), 0.999, training=True)
    assert torch.isfinite(out).all()
    assert out.unique().tolist() == [0.0, 256.0]


def test_dropout_does_nothing_outside_training_or_without_a_share() -> None:
    values = torch.randn(5, 7)
    assert torch.equal(dropout(values, 0.5, training=False), values)
    assert torch.equal(dropout(values, 0.0, training=True), values)


def test_against_every_item_it_is_cross_entropy() -> None:
    taste, gates, vectors, _ = given()
    items = replace(
        drawn(),
        offset=torch.zeros(ITEMS),
        item=torch.arange(ITEMS),
        target=torch.randint(0, ITEMS, (TARGETS,)),
    )
    logits = taste @ vectors.T + prior_logits(gates, items.basis[items.snapshot])
    positive = logits[torch.arange(TARGETS), items.target]
    losses = sampled_softmax(taste, gates, vectors, positive, items)
    expected = functional.cross_entropy(logits, items.target, reduction="none")
    assert torch.allclose(losses, expected, atol=1e-5)
    values = (taste, gates, vectors)
    gradients = torch.autograd.grad(losses.sum(), values, retain_graph=True)
    for mine, other in zip(gradients, torch.autograd.grad(expected.sum(), values), strict=True):
        assert torch.allclose(mine, other, atol=1e-5)
