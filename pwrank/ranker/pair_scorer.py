"""The point-wise ranker: fusion of user and item, plus what the context says about the pair."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pwrank.ranker.dropout import Dropout
from pwrank.ranker.fusions import FUSIONS
from pwrank.ranker.pair_features import PAIR_FEATURES, USER_FEATURES

LIMIT = 5.0
"""Standardised features beyond so many deviations say no more."""


class Head(nn.Module):
    """Will the user take it: fusion of the vectors + linear + perceptron on the features."""

    def __init__(self, dim: int, fusion: str, *, hidden: int, dropout: float) -> None:
        super().__init__()
        width = len(PAIR_FEATURES)
        self.fusion = FUSIONS[fusion](dim)
        self.fusion_scale = nn.Parameter(torch.tensor(0.05))
        self.linear = nn.Linear(width, 1)
        self.perceptron = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, 1)
        )

    @property
    def hidden(self) -> nn.Linear:
        """First layer of the perceptron."""
        return cast("nn.Linear", self.perceptron[0])

    @property
    def readout(self) -> nn.Linear:
        """Last layer of the perceptron."""
        return cast("nn.Linear", self.perceptron[-1])

    def forward(
        self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor, features: Tensor
    ) -> Tensor:
        """Vectors as a fusion takes them, standardised features (b, c, f) -> logits (b, c)."""
        context = (self.linear(features) + self.perceptron(features)).squeeze(-1)
        fused: Tensor = self.fusion(users, items, past, past_mask)
        logits: Tensor = context + self.fusion_scale * fused
        return logits


class PairScorer(nn.Module):
    """Standardised pair features and the head that reads them.

    Liking and rating are learned apart, in `preference`.
    """

    def __init__(self, dim: int, fusion: str, *, hidden: int, dropout: float) -> None:
        super().__init__()
        width = len(PAIR_FEATURES)
        self.head = Head(dim, fusion, hidden=hidden, dropout=dropout)
        self.center = nn.Buffer(torch.zeros(width))
        self.spread = nn.Buffer(torch.ones(width))

    def standardise_as(self, features: Tensor) -> None:
        """Take the mean and spread of features (…, f) as zero and one from now on."""
        rows = features.reshape(-1, features.shape[-1])
        self.center.copy_(rows.mean(dim=0))
        self.spread.copy_(rows.std(dim=0).clamp(min=1e-2))

    def standardised(self, features: Tensor, columns: slice = slice(None)) -> Tensor:
        """What the head reads of features (…, f); only some of the columns where told."""
        scaled = (features - self.center[columns]) / self.spread[columns]
        return scaled.clamp(-LIMIT, LIMIT)

    def forward(
        self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor, features: Tensor
    ) -> Tensor:
        """users (b, d), items (b, c, d), past (b, l, d), features (b, c, f) -> logits (b, c)."""
        scaled = self.standardised(features)
        logits: Tensor = self.head(users, items, past, past_mask, scaled)
        return logits


class Calibrator(nn.Module):
    """Raw engagement score -> logit of a probability, in the same order for every user.

    A softmax over a user's candidates learns order well and says nothing about how likely anything
    is. Slope and offset (Platt 1999) depend on the user, never on the item.
    """

    def __init__(self) -> None:
        super().__init__()
        width = len(USER_FEATURES)
        self.slope = nn.Parameter(torch.zeros(()))
        self.offset = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1))
        self.center = nn.Buffer(torch.zeros(width))
        self.spread = nn.Buffer(torch.ones(width))

    def standardise_as(self, features: Tensor) -> None:
        """Take the mean and spread of user features (b, g) as zero and one from now on."""
        self.center.copy_(features.mean(dim=0))
        self.spread.copy_(features.std(dim=0).clamp(min=1e-2) if len(features) > 1 else self.spread)

    @torch.no_grad()
    def start_at(self, offset: float) -> None:
        """Begin with this offset for everybody."""
        self.get_parameter("offset.2.bias").fill_(offset)

    @torch.no_grad()
    def shift_by(self, logits: float) -> None:
        """Make every pair likelier, or less likely, by so many logits."""
        self.get_parameter("offset.2.bias").add_(logits)

    def forward(self, raw: Tensor, user_features: Tensor) -> Tensor:
        """raw (b, c), user_features (b, g) -> logits (b, c)."""
        scaled = ((user_features - self.center) / self.spread).clamp(-LIMIT, LIMIT)
        logits: Tensor = raw * torch.exp(self.slope) + self.offset(scaled)
        return logits
