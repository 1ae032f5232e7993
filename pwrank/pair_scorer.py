"""The point-wise ranker: fusion of user and item plus what the context says about the pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pwrank.cooccurrence import user_item_matrix
from pwrank.fusions import FUSIONS
from pwrank.popularity import FEATURE_NAMES

if TYPE_CHECKING:
    from pwrank.ranker import ItemTable, UserTable

HEADS = ("engagement", "like", "rating")
"""Tasks: will the user take it, like it, and how will they rate it."""

PAIR_FEATURES = ("retrieval", "cooccurrence", "text_mean", "user_log_length", *FEATURE_NAMES)
"""Columns of `pair_features`."""


def pair_features(users: UserTable, items: ItemTable, candidates: Tensor) -> Tensor:
    """(b, c, len(PAIR_FEATURES)) float32 of the pairs; candidates (b, c) int64."""
    retrieval = torch.einsum("bd,bcd->bc", users.retrieval, items.retrieval[candidates])
    columns = [
        retrieval,
        _cooccurrence(users, items, candidates),
        _text_mean(users, items, candidates),
        users.batch.mask.sum(dim=1).float().log1p().unsqueeze(1).expand_as(retrieval),
    ]
    return torch.cat([torch.stack(columns, dim=-1), items.popularity[candidates]], dim=-1)


def _cooccurrence(users: UserTable, items: ItemTable, candidates: Tensor) -> Tensor:
    """Sum over the history of the weight with which each item speaks for the candidate."""
    taken = user_item_matrix(users.histories, len(items.vectors))
    scores = np.asarray((taken @ items.cooccurrence.matrix).todense(), np.float32)
    return torch.from_numpy(scores).to(candidates.device).gather(1, candidates)


def _text_mean(users: UserTable, items: ItemTable, candidates: Tensor) -> Tensor:
    """Cosine of the candidate's text with the mean text of the history."""
    weight = users.batch.mask.unsqueeze(-1)
    mean = (items.text[users.batch.item] * weight).sum(dim=1)
    mean = nn.functional.normalize(mean, dim=-1)
    return torch.einsum("bd,bcd->bc", mean, items.text[candidates])


class PairScorer(nn.Module):
    """Fusion + perceptron over standardised pair features, one output per head."""

    def __init__(self, dim: int, fusion: str, hidden: int = 32) -> None:
        super().__init__()
        width = len(PAIR_FEATURES)
        self.fusions = nn.ModuleDict({head: FUSIONS[fusion](dim) for head in HEADS})
        self.linear = nn.Linear(width, len(HEADS))
        self.hidden = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, len(HEADS))
        )
        self.fusion_scale = nn.Parameter(torch.full((len(HEADS),), 0.1))
        self.center = nn.Buffer(torch.zeros(width))
        self.spread = nn.Buffer(torch.ones(width))

    def standardise_as(self, features: Tensor) -> None:
        """Take the mean and spread of features (…, f) as zero and one from now on."""
        rows = features.reshape(-1, features.shape[-1])
        self.center.copy_(rows.mean(dim=0))
        self.spread.copy_(rows.std(dim=0).clamp(min=1e-3))

    def forward(
        self, users: Tensor, items: Tensor, past: Tensor, past_mask: Tensor, features: Tensor
    ) -> dict[str, Tensor]:
        """users (b, d), items (b, c, d), features (b, c, f) -> logits (b, c) per head."""
        scaled = ((features - self.center) / self.spread).clamp(-8, 8)
        context = self.linear(scaled) + self.hidden(scaled)
        return {
            head: context[..., index]
            + self.fusion_scale[index] * self.fusions[head](users, items, past, past_mask)
            for index, head in enumerate(HEADS)
        }
