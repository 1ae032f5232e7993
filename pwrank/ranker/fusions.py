"""Fusions: how a user vector and an item vector become one logit, by name.

Every fusion maps users (b, d), items (b, c, d), past (b, l, d), past_mask (b, l) to (b, c).
Adding one is a class here, a line in `FUSIONS`, and a test. One that is an inner product of the
item with something of the user's is an `InnerProductFusion`: the night scores it much faster.
"""

# Every fusion is called alike; most have no use for the history.
# ruff: noqa: ARG002

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class Fusion(Protocol):
    """What every fusion can do."""

    def __call__(self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor) -> Tensor:
        """users (b, d), items (b, c, d), past (b, l, d), past_mask (b, l) bool -> (b, c)."""
        ...


def _pairs(users: Tensor, items: Tensor) -> Tensor:
    """(b, d) and (b, c, d) side by side: (b, c, 2d)."""
    return torch.cat([users.unsqueeze(1).expand_as(items), items], dim=-1)


class LinearFusion(nn.Module):
    """The article's activation(W^T u + v), which is a vector, summed to a scalar.

    The article's example treats W^T u + v as a number; it has as many entries as v. Here its
    activation (ReLU) applies to each entry and a learned read-out, which starts as the sum, makes
    the number. Without the ReLU the score would be a_u + b_v: the same order for every user.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Linear(dim, dim, bias=False)
        self.readout = nn.Parameter(torch.ones(dim) / dim)

    def forward(self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor) -> Tensor:
        """See `Fusion`."""
        return torch.relu(self.weight(users).unsqueeze(1) + items) @ self.readout


class ConcatLinearFusion(nn.Module):
    """The article's RecommenderModel: concatenate, then one Linear.

    It scores a_u + b_v, so every user gets the same order of items: a baseline to show, never a
    ranker to publish (the gate "not all users the same list" refuses it).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.readout = nn.Linear(2 * dim, 1)

    def forward(self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor) -> Tensor:
        """See `Fusion`."""
        logits: Tensor = self.readout(_pairs(users, items)).squeeze(-1)
        return logits


class ConcatFusion(nn.Module):
    """Concatenate, then a hidden layer: the smallest concatenation that is personal."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU(), nn.Linear(dim, 1))

    def forward(self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor) -> Tensor:
        """See `Fusion`."""
        logits: Tensor = self.layers(_pairs(users, items)).squeeze(-1)
        return logits


class InnerProductFusion(nn.Module):
    """A fusion that is the inner product of the item with something of the user's."""

    def query(self, users: Tensor) -> Tensor:
        """(b, d) -> (b, d): what meets the items."""
        raise NotImplementedError

    def forward(self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor) -> Tensor:
        """See `Fusion`."""
        return torch.einsum("bd,bcd->bc", self.query(users), items)


class HadamardFusion(InnerProductFusion):
    """Weighted element-wise product: sum_k w_k u_k v_k (GMF of He et al. 2017 without bias)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def query(self, users: Tensor) -> Tensor:
        """See `InnerProductFusion`."""
        return users * self.weight


class BilinearFusion(InnerProductFusion):
    """u^T W v, W starting as the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(dim))

    def query(self, users: Tensor) -> Tensor:
        """See `InnerProductFusion`."""
        return users @ self.weight


class NeuMFFusion(nn.Module):
    """Neural matrix factorisation (He et al., Neural Collaborative Filtering, WWW 2017).

    The article's NCF: a generalised matrix factorisation beside a perceptron on the concatenation.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.product = HadamardFusion(dim)
        self.perceptron = ConcatFusion(dim)

    def forward(self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor) -> Tensor:
        """See `Fusion`."""
        product: Tensor = self.product(users, items, past, past_mask)
        perceptron: Tensor = self.perceptron(users, items, past, past_mask)
        return product + perceptron


class AttentionFusion(nn.Module):
    """Target attention over the history (Zhou et al., Deep Interest Network, KDD 2018).

    The candidate asks the history what speaks for it; the answer joins the user vector.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.product = HadamardFusion(dim)

    def forward(self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor) -> Tensor:
        """See `Fusion`."""
        scale = items.shape[-1] ** -0.5
        similarity = self.query(items) @ self.key(past).transpose(1, 2) * scale  # (b, c, l)
        similarity = similarity.masked_fill(~past_mask.unsqueeze(1), -1e4)
        answer = torch.softmax(similarity, dim=-1) @ past  # (b, c, d)
        answer = answer * past_mask.any(dim=1)[:, None, None]
        product: Tensor = self.product(users, items, past, past_mask)
        attended: Tensor = (answer * items).sum(-1) * scale
        return product + attended


FUSIONS: dict[str, type[nn.Module]] = {
    "linear": LinearFusion,
    "concat": ConcatFusion,
    "concat_linear": ConcatLinearFusion,
    "hadamard": HadamardFusion,
    "bilinear": BilinearFusion,
    "neumf": NeuMFFusion,
    "attention": AttentionFusion,
}
"""Fusions by the name used in `[train] fusion`; each is built as `FUSIONS[name](dim)`."""
