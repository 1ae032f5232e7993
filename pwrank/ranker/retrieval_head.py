"""The inner product that finds candidates: taste, plus popularity as this world rewards it.

The history encoder says what a user may want and which popularity they follow; the head, fitted on
held-out recent time, says how much each counts on this catalogue. Everything is an inner product,
so that one FAISS search over the catalogue finds it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RetrievalHead(nn.Module):
    """Vectors and popularity -> the space of retrieval."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.taste = nn.Parameter(torch.ones(()))
        self.gate = nn.Parameter(torch.ones(()))
        self.weight = nn.Parameter(torch.zeros(features))
        self.weight_by_length = nn.Parameter(torch.zeros(features))
        self.spread = nn.Buffer(torch.ones(features))

    def items(self, vectors: Tensor, basis: Tensor, features: Tensor) -> Tensor:
        """vectors (n, d), basis (n, k), popularity features (n, f) -> (n, d + k + f + 1).

        The last column is the popularity that this world rewards: the score of an item for
        somebody of whom nothing is known.
        """
        scaled = features / self.spread
        return torch.cat([vectors, basis, scaled, (scaled @ self.weight).unsqueeze(-1)], dim=-1)

    def users(self, vectors: Tensor, gates: Tensor, lengths: Tensor) -> Tensor:
        """vectors (b, d), gates (b, k), history lengths (b,) -> (b, d + k + f + 1)."""
        activity = torch.log1p(lengths.to(vectors.dtype)).unsqueeze(-1) / 4.0
        return torch.cat(
            [
                vectors * self.taste,
                gates * self.gate,
                activity * self.weight_by_length,
                torch.ones_like(activity),
            ],
            dim=-1,
        )
