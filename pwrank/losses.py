"""Losses of the point-wise ranker and of retrieval, by name.

All share one shape: logits (r, 1 + m) with the positive in column 0 and m negatives after it,
and `weight` (r,), how much each row counts. All return a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (r, 1 + m), weight (r,)) -> scalar."""


def _labels(logits: Tensor) -> Tensor:
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1.0
    return labels


def _weighted_mean(losses: Tensor, weight: Tensor) -> Tensor:
    return (losses * weight).sum() / weight.sum().clamp(min=1e-9)


def mse_loss(logits: Tensor, weight: Tensor) -> Tensor:
    """Squared error of the raw score against 1 for the positive and 0 for the rest (the article)."""
    return _weighted_mean((logits - _labels(logits)).square().mean(dim=1), weight)


def bce_loss(logits: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy, the positive weighing as much as its negatives together."""
    positive = functional.softplus(-logits[:, 0])
    negative = functional.softplus(logits[:, 1:]).mean(dim=1)
    return _weighted_mean(positive + negative, weight)


def softmax_loss(logits: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of choosing the positive; with every item as a negative, the full softmax."""
    return _weighted_mean(torch.logsumexp(logits, dim=1) - logits[:, 0], weight)


def gbce_loss(logits: Tensor, weight: Tensor, *, num_items: int = 0, t: float = 0.75) -> Tensor:
    """Generalised BCE (Petrov and Macdonald, gSASRec, RecSys 2023): undoes negative sampling.

    With m of `num_items` negatives sampled, the positive's probability is raised to the power beta.
    """
    sampled = logits.shape[1] - 1
    rate = sampled / max(num_items - 1, sampled)
    beta = rate * (t * (1 - 1 / rate) + 1 / rate)
    positive = beta * functional.softplus(-logits[:, 0])
    negative = functional.softplus(logits[:, 1:]).sum(dim=1)
    return _weighted_mean((positive + negative) / (1 + sampled), weight)


LOSSES: dict[str, Loss] = {
    "mse": mse_loss,
    "bce": bce_loss,
    "softmax": softmax_loss,
    "gbce": gbce_loss,
}
"""Losses by the name used in `[train] loss`."""


def subtract_log_frequency(logits: Tensor, log_frequency: Tensor) -> Tensor:
    """logQ correction (Bengio and Senecal 2008; Yi et al., RecSys 2019).

    logits (r, m) of sampled items, log_frequency (m,) = log of the expected number of times each
    was drawn: the sampled softmax then estimates the full one.
    """
    return logits - log_frequency.to(logits.dtype)


def mask_accidental_hits(logits: Tensor, items: Tensor, positive: Tensor) -> Tensor:
    """A sampled negative (m,) that is the row's positive (r,) does not compete with itself."""
    return logits.masked_fill(
        items.unsqueeze(0) == positive.unsqueeze(1), torch.finfo(logits.dtype).min
    )
