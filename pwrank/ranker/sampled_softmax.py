"""Cross-entropy of targets against drawn items, in one table there and back.

On a processor a step of stage one is bound by memory: what autograd makes of the plain form goes a
dozen times over tables of targets x negatives, and gathers for each target what was popular in its
time. Here targets go by their time, so that those of one moment share one product, and the table of
logits becomes that of probabilities and then that of gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Moments:
    """r targets in order of the snapshot of popularity that each was taken under."""

    order: Tensor
    """(r,) int64 targets, by snapshot."""
    back: Tensor
    """(r,) int64: the place of each target in `order`."""
    parts: tuple[tuple[int, int, int], ...]
    """(snapshot, first place, place behind the last one) of each snapshot that has targets."""


def by_moment(snapshot: Tensor) -> Moments:
    """snapshot (r,) int64."""
    order = torch.argsort(snapshot, stable=True)
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    kinds, counts = torch.unique_consecutive(snapshot[order], return_counts=True)
    ends = counts.cumsum(0).tolist()
    parts = tuple(zip(kinds.tolist(), [0, *ends[:-1]], ends, strict=True))
    return Moments(order, back, parts)


def drawn_targets(drawn: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Rows i and columns j where target[i] (r,) is drawn[j] (m,): few, found without a table."""
    ordered, places = drawn.sort()
    first = torch.searchsorted(ordered, target)
    count = torch.searchsorted(ordered, target, right=True) - first
    row = torch.repeat_interleave(torch.arange(len(target)), count)
    within = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    return row, places[first[row] + within]


@dataclass(frozen=True)
class Drawn:
    """What r targets have to be better than; m drawn items. Nothing here has gradients."""

    basis: Tensor
    """(s, m, k) float32: popularity of the items at each snapshot, what gates weigh."""
    offset: Tensor
    """(m,) float32: added to the logits of an item."""
    item: Tensor
    """(m,) int64: which item it is; a target that is drawn does not compete with itself."""
    target: Tensor
    """(r,) int64: the item of each target."""
    snapshot: Tensor
    """(r,) int64: what was popular when each target was taken."""


class SampledSoftmax(torch.autograd.Function):
    """What `plain_sampled_softmax` gives, forth and back in one table."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd's own form
        ctx: Any, taste: Tensor, gates: Tensor, vectors: Tensor, positive: Tensor, drawn: Drawn
    ) -> Tensor:
        """As `plain_sampled_softmax`."""
        moments = by_moment(drawn.snapshot)
        taste, positive = taste[moments.order], positive[moments.order]
        # The offset is one more that is weighed, by 1: less than a pass over the table.
        gates = functional.pad(gates[moments.order], (0, 1), value=1.0)
        basis = torch.cat([drawn.basis, drawn.offset.expand(len(drawn.basis), 1, -1).mT], dim=2)
        table = taste @ vectors.T
        for snapshot, first, end in moments.parts:
            table[first:end].addmm_(gates[first:end], basis[snapshot].T)
        table[drawn_targets(drawn.item, drawn.target[moments.order])] = torch.finfo(table.dtype).min
        top = torch.maximum(table.amax(dim=1), positive)
        table.sub_(top.unsqueeze(1)).exp_()
        own = (positive - top).exp()
        total = table.sum(dim=1) + own
        ctx.moments, ctx.basis = moments, drawn.basis
        ctx.save_for_backward(taste, vectors, table, own, total)
        losses: Tensor = (total.log() + top - positive)[moments.back]
        return losses

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Once only: the table of the forward pass is used up."""
        taste, vectors, table, own, total = ctx.saved_tensors
        moments, basis = ctx.moments, ctx.basis
        gradient = gradient[moments.order]
        table.mul_((gradient / total).unsqueeze(1))
        gates = torch.empty(len(table), basis.shape[2])
        for snapshot, first, end in moments.parts:
            torch.mm(table[first:end], basis[snapshot], out=gates[first:end])
        to_positive = gradient * (own / total - 1)
        back = moments.back
        return (table @ vectors)[back], gates[back], table.T @ taste, to_positive[back], None


def sampled_softmax(
    taste: Tensor, gates: Tensor, vectors: Tensor, positive: Tensor, drawn: Drawn
) -> Tensor:
    """What `plain_sampled_softmax` gives, on a processor and faster."""
    losses: Tensor = SampledSoftmax.apply(  # type: ignore[no-untyped-call]
        taste, gates, vectors, positive, drawn
    )
    return losses


def plain_sampled_softmax(
    taste: Tensor, gates: Tensor, vectors: Tensor, positive: Tensor, drawn: Drawn
) -> Tensor:
    """(r,) log of the sum of exp(logit) over target and drawn items, less the target's logit.

    A drawn item's logit is taste . vector + gates . basis + offset; taste (r, d), gates (r, k),
    vectors (m, d), positive (r,) the targets' logits. This form is for a card, too, where no
    target may change the shapes of a step.
    """
    logits = taste @ vectors.T + prior_logits(gates, drawn.basis[drawn.snapshot])
    logits = logits.float() + drawn.offset
    hits = drawn.item.unsqueeze(0) == drawn.target.unsqueeze(1)
    logits = logits.masked_fill(hits, torch.finfo(logits.dtype).min)
    logits = torch.cat([positive.unsqueeze(1).float(), logits], dim=1)
    return torch.logsumexp(logits, dim=1) - logits[:, 0]


def prior_logits(gates: Tensor, basis: Tensor) -> Tensor:
    """gates (r, k), basis (r, m, k) -> (r, m)."""
    return torch.bmm(basis, gates.unsqueeze(-1)).squeeze(-1)
