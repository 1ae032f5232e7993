"""The heads `like` and `rating`: whether a user who takes an item will like it, and how much."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pwrank.ranker.examples import Examples
from pwrank.ranker.held_out_training import Evidence, tables_of
from pwrank.ranker.history import Histories
from pwrank.ranker.model import Ranker
from pwrank.ranker.pair_features import pair_features

SCALE_TOP = 0.8
"""A rating is a like from this far up the scale of the log, unless a threshold is given."""


def like_threshold(log: Histories, threshold: float | None) -> float:
    """In the units of the source."""
    rated = log.rating[~np.isnan(log.rating)]
    if threshold is not None or len(rated) == 0:
        return threshold or 0.0
    low, high = np.quantile(rated, [0.001, 0.999])
    return float(low + SCALE_TOP * (high - low))


def rated_examples(log: Histories, most: int, rng: np.random.Generator) -> Examples:
    """At most so many rated rows, each with the history before it."""
    rows = np.flatnonzero(~np.isnan(log.rating))
    rows = np.sort(rng.permutation(rows)[:most])
    return Examples(log.user[rows], rows, rows + 1, log.timestamp[rows])


@torch.no_grad()
def _rated_blocks(
    ranker: Ranker, evidence: Evidence, examples: Examples
) -> list[tuple[tuple[Tensor, ...], Tensor]]:
    """What the scorer reads of each rated row, and its rating in the units of the source."""
    blocks: list[tuple[tuple[Tensor, ...], Tensor]] = []
    for part, items, users in tables_of(ranker, evidence, examples):
        candidates = torch.from_numpy(evidence.log.item[part.end]).to(ranker.device)
        candidates = candidates.unsqueeze(1)
        rating = torch.from_numpy(evidence.log.rating[part.end]).to(ranker.device)
        meeting = (
            users.vectors,
            items.vectors[candidates],
            items.vectors[users.batch.item],
            users.batch.mask,
            pair_features(users, items, candidates),
        )
        blocks.append((meeting, rating))
    return blocks


def fit_rating_heads(
    ranker: Ranker,
    evidence: Evidence,
    examples: Examples,
    *,
    threshold: float,
    weights: tuple[float, float],
    epochs: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> float:
    """Log loss of liking and squared error of the rating, weighted; returns the last mean loss."""
    blocks = _rated_blocks(ranker, evidence, examples)
    scorer = ranker.pair_scorer
    optimizer = torch.optim.AdamW(
        [*scorer.heads["like"].parameters(), *scorer.heads["rating"].parameters()],
        lr=learning_rate,
        weight_decay=1e-2,
    )
    scale, losses = ranker.scale, [0.0]
    scorer.train()
    for _ in range(epochs if blocks else 0):
        losses = []
        for index in rng.permutation(len(blocks)):
            meeting, rating = blocks[index]
            like = scorer("like", *meeting).squeeze(1)
            stars = scorer("rating", *meeting).squeeze(1)
            liked = (rating >= threshold).float()
            loss = weights[0] * functional.binary_cross_entropy_with_logits(like, liked)
            loss = loss + weights[1] * (stars - (rating - scale.mean) / scale.std).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    scorer.eval()
    return float(np.mean(losses))
