"""Losses of the point-wise ranker, by name.

A loss takes logits (b, c) of each user's candidates and label (b, c), 1 for what the user then
took and 0 for the rest, and returns a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (b, c), label (b, c)) -> scalar."""

GBCE_CALIBRATION = 0.75
"""t of gBCE: 0 is plain BCE, 1 undoes the sampling of negatives altogether."""


def mse_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Squared error of the raw score against the label, as in the article."""
    return functional.mse_loss(logits, label)


def bce_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of every candidate for itself."""
    return functional.binary_cross_entropy_with_logits(logits, label)


def softmax_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy over each user's candidates; every user with a positive counts the same."""
    count = label.sum(dim=1)
    chosen = count > 0
    if not bool(chosen.any()):
        return logits.sum() * 0.0
    share = label[chosen] / count[chosen].unsqueeze(1)
    return -(functional.log_softmax(logits[chosen], dim=1) * share).sum(dim=1).mean()


def gbce_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Generalised BCE (Petrov and Macdonald, gSASRec, RecSys 2023).

    A positive's probability is raised to the power beta, which undoes the overconfidence that
    comes of meeting only a sample of the negatives; here the sample is the candidates.
    """
    rate = 1.0 / logits.shape[1]
    beta = rate * (GBCE_CALIBRATION * (1 - 1 / rate) + 1 / rate)
    positive = beta * functional.softplus(-logits) * label
    negative = functional.softplus(logits) * (1 - label)
    return (positive + negative).mean()


LOSSES: dict[str, Loss] = {
    "mse": mse_loss,
    "bce": bce_loss,
    "softmax": softmax_loss,
    "gbce": gbce_loss,
}
"""Losses by the name used in `[train] loss`."""
