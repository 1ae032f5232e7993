"""User vectors: causal self-attention over the last interactions.

After SASRec (Kang and McAuley, ICDM 2018), with what the log says about each interaction (event,
rating, time since the one before) and relative positions (Raffel et al. 2020), so that a history
may be cut anywhere.

Beside what attention makes of a history stands the plain sum of its items. Attention has to learn
that everything counts before it can learn what: where items fall into many groups of one size, and
order says nothing, it does not begin to and stays at popularity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pwrank.ranker.dropout import dropout

GAP_BUCKETS = 32
"""log2 of the seconds between two interactions: 31 is some 68 years."""

DISTANCE_BUCKETS = 32
"""Relative positions: exact up to half of this, logarithmic after."""


@dataclass(frozen=True)
class HistoryBatch:
    """Padded histories, oldest first, padding at the end; l positions."""

    item: Tensor
    """(b, l) int64 row of the item vectors; 0 where padded."""
    event: Tensor
    """(b, l) int64 event code."""
    rating: Tensor
    """(b, l) float32 in standard deviations from the log's mean; NaN = none."""
    gap: Tensor
    """(b, l) int64 bucket of the time since the interaction before."""
    mask: Tensor
    """(b, l) bool: true where there is an interaction."""
    truncated: Tensor
    """(b,) bool: older interactions exist but were cut off."""


def gap_bucket(seconds: Tensor) -> Tensor:
    """int64 seconds -> bucket 0..31."""
    return torch.log2(seconds.clamp(min=0).double() + 1).long().clamp(max=GAP_BUCKETS - 1)


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and feed-forward, each with a residual."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_forward = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.up = nn.Linear(dim, 2 * dim)
        self.down = nn.Linear(2 * dim, dim)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """states (b, l, dim), bias (1, heads, l, l), -inf above the diagonal -> (b, l, dim)."""
        batch, length, _ = states.shape
        qkv = self.qkv(self.norm_attention(states)).view(batch, length, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind()
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self._feed_forward(states + self._joined(mixed.transpose(1, 2)))

    def last(self, states: Tensor, place: Tensor, bias: Tensor) -> Tensor:
        """What `forward` gives at one place (b,) of each history: (b, dim).

        One state asks, so its question goes through the weights of the keys, and the answer
        through those of the values, rather than every state through both: q . (K x) = (q K) . x.
        """
        rows = torch.arange(len(place), device=place.device)
        normed = self.norm_attention(states)
        (asking, key, value), biases = self._split(self.qkv.weight), self.qkv.bias.chunk(3)
        query = functional.linear(normed[rows, place], asking.flatten(0, 1), biases[0])
        query = query.view(len(place), self.heads, -1)
        question = torch.einsum("bhe,hed->bhd", query, key) * query.shape[-1] ** -0.5
        weight = torch.softmax(
            question @ normed.transpose(1, 2) + bias[0].transpose(0, 1)[place], dim=-1
        )
        mixed = torch.einsum("bhd,hed->bhe", weight @ normed, value)
        mixed = mixed + biases[2].view(self.heads, -1)
        return self._feed_forward(states[rows, place] + self._joined(mixed))

    def _split(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Weights of query, key and value, each (heads, dim / heads, dim)."""
        return weight.view(3, self.heads, -1, weight.shape[1]).unbind()

    def _joined(self, mixed: Tensor) -> Tensor:
        """Heads (…, heads, dim / heads) put together: (…, dim)."""
        joined = self.out(mixed.flatten(-2))
        return dropout(joined, self.dropout, training=self.training)

    def _feed_forward(self, states: Tensor) -> Tensor:
        hidden = functional.gelu(self.up(self.norm_forward(states)))
        hidden = self.down(dropout(hidden, self.dropout, training=self.training))
        return states + dropout(hidden, self.dropout, training=self.training)


class HistoryEncoder(nn.Module):
    """Histories -> one state before each interaction and one after the last."""

    def __init__(self, *, dim: int, layers: int, heads: int, events: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.start = nn.Embedding(2, dim)
        self.event = nn.Embedding(events, dim)
        self.rating = nn.Linear(2, dim, bias=False)
        self.gap = nn.Embedding(GAP_BUCKETS, dim)
        self.distance = nn.Embedding(DISTANCE_BUCKETS, heads)
        self.blocks = nn.ModuleList(AttentionBlock(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        for table in (self.start, self.event, self.gap, self.distance):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, batch: HistoryBatch, vectors: Tensor) -> Tensor:
        """vectors (b, l, dim) of the items -> states (b, l + 1, dim).

        State k has seen the first k interactions only: state 0 none, state l all of them. Padding
        comes last, so no state before it can see it.
        """
        states, bias = self._read(batch, vectors)
        for block in self.blocks:
            states = block(states, bias)
        so_far = _of_history(batch, vectors).cumsum(dim=1)
        normed: Tensor = self.norm(states) + _scaled(functional.pad(so_far, (0, 0, 1, 0)))
        return normed

    def last(self, batch: HistoryBatch, vectors: Tensor) -> Tensor:
        """(b, dim): the state of `forward` that has seen all of a history, and nothing else."""
        states, bias = self._read(batch, vectors)
        for block in self.blocks[:-1]:
            states = block(states, bias)
        top = cast("AttentionBlock", self.blocks[-1])
        state = top.last(states, batch.mask.sum(dim=1), bias)
        normed: Tensor = self.norm(state) + _scaled(_of_history(batch, vectors).sum(dim=1))
        return normed

    def _read(self, batch: HistoryBatch, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """States (b, l + 1, dim) that have seen nothing yet, and the bias of attention."""
        rated = ~torch.isnan(batch.rating)
        rating = torch.stack([torch.nan_to_num(batch.rating), rated.float()], dim=-1)
        tokens = vectors + self.event(batch.event) + self.rating(rating) + self.gap(batch.gap)
        start = self.start(batch.truncated.long()).unsqueeze(1)
        states = torch.cat([start, tokens], dim=1)
        states = dropout(states, self.dropout, training=self.training)
        return states, self._bias(states.shape[1], states.device).to(states.dtype)

    def _bias(self, length: int, device: torch.device) -> Tensor:
        """(1, heads, length, length): learned by distance, -inf on the future."""
        position = torch.arange(length, device=device)
        distance = (position.unsqueeze(1) - position.unsqueeze(0)).clamp(min=0)
        exact = DISTANCE_BUCKETS // 2
        far = exact + (torch.log2(distance.clamp(min=exact) / exact) * 4).long()
        bucket = torch.where(distance < exact, distance, far).clamp(max=DISTANCE_BUCKETS - 1)
        bias = self.distance(bucket).permute(2, 0, 1).unsqueeze(0)
        future = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
        masked: Tensor = bias.masked_fill(future, float("-inf"))
        return masked


def _of_history(batch: HistoryBatch, vectors: Tensor) -> Tensor:
    """(b, l, dim): nothing where padded."""
    return vectors * batch.mask.unsqueeze(-1)


def _scaled(sums: Tensor) -> Tensor:
    """Sums of items (…, dim) brought to one size: with many of them, the mean says the same."""
    return functional.layer_norm(sums, sums.shape[-1:])
