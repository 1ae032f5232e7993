"""Stage two: teach the point-wise ranker on candidates of users in held-out recent time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pwrank.examples import Examples, prefixes, seen, targets
from pwrank.history import FloatArray, Histories, IntArray
from pwrank.pair_scorer import HEADS, PAIR_FEATURES, pair_features
from pwrank.ranker import ItemTable, Ranker

BLOCK_USERS = 256
"""Users whose candidates are prepared together."""


@dataclass(frozen=True)
class PairBlock:
    """Prepared candidates of some examples; all that the pair scorer reads."""

    users: Tensor
    """(b, dim) float32."""
    past: Tensor
    """(b, l) int64 rows of the item vectors."""
    past_mask: Tensor
    """(b, l) bool."""
    candidates: Tensor
    """(b, c) int64."""
    features: Tensor
    """(b, c, f) float32."""
    label: Tensor
    """(b, c) float32: 1 = taken."""
    rating: Tensor
    """(b, c) float32 in standard deviations from the mean, NaN = not rated."""


@torch.no_grad()
def retrieve(users: Tensor, items: Tensor, seen_items: Tensor, depth: int) -> Tensor:
    """(b, d) and (n, d) -> (b, depth) int64, the largest inner products among unseen items."""
    scores = users @ items.T
    scores = scores.masked_fill(seen_items, float("-inf"))
    return torch.topk(scores, min(depth, scores.shape[1]), dim=1).indices


def prepare_block(
    ranker: Ranker, log: Histories, examples: Examples, items: ItemTable, *, depth: int
) -> PairBlock:
    """Candidates as the nightly run would retrieve them, with their features and labels."""
    num_items = len(items.vectors)
    users = ranker.user_table(prefixes(log, examples), items)
    already = torch.from_numpy(seen(log, examples, num_items).toarray() > 0).to(ranker.device)
    candidates = retrieve(users.retrieval, items.retrieval, already, depth)
    label = torch.from_numpy(targets(log, examples, num_items).toarray()).to(ranker.device)
    rating = torch.from_numpy(_ratings(log, examples, num_items)).to(ranker.device)
    rating = (rating - ranker.scale.mean) / ranker.scale.std
    return PairBlock(
        users=users.retrieval[:, : ranker.shape.dim],
        past=users.batch.item,
        past_mask=users.batch.mask,
        candidates=candidates,
        features=pair_features(users, items, candidates),
        label=label.gather(1, candidates),
        rating=rating.gather(1, candidates),
    )


def _ratings(log: Histories, examples: Examples, num_items: int) -> FloatArray:
    """(e, n) float32 ratings that followed; NaN elsewhere."""
    dense = np.full((len(examples.user), num_items), np.nan, np.float32)
    lengths = examples.stop - examples.end
    rows = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    taken = np.arange(len(rows)) + np.repeat(examples.end - first, lengths)
    dense[rows, log.item[taken]] = log.rating[taken]
    return dense


def pair_loss(
    ranker: Ranker, block: PairBlock, vectors: Tensor, *, weights: tuple[float, float, float],
    like_threshold: float,
) -> Tensor:
    """Log loss of taking and of liking, squared error of the rating, weighted per task."""
    outputs = ranker.pair_scorer(
        block.users, vectors[block.candidates], vectors[block.past], block.past_mask,
        block.features,
    )
    losses = [functional.binary_cross_entropy_with_logits(outputs["engagement"], block.label)]
    rated = ~torch.isnan(block.rating)
    if bool(rated.any()):
        rating = block.rating[rated]
        liked = (rating >= (like_threshold - ranker.scale.mean) / ranker.scale.std).float()
        losses.append(
            functional.binary_cross_entropy_with_logits(outputs["like"][rated], liked)
        )
        losses.append((outputs["rating"][rated] - rating).square().mean())
    return torch.stack([w * x for w, x in zip(weights, losses, strict=False)]).sum()


def fit_pairs(  # noqa: PLR0913 - knobs of one loop
    ranker: Ranker,
    blocks: list[PairBlock],
    items: ItemTable,
    *,
    epochs: int,
    learning_rate: float,
    weights: tuple[float, float, float],
    like_threshold: float,
    rng: np.random.Generator,
) -> float:
    """Train `ranker.pair_scorer` on the blocks; returns the mean loss of the last epoch."""
    if not blocks:
        return 0.0
    scorer = ranker.pair_scorer
    scorer.standardise_as(torch.cat([b.features.reshape(-1, len(PAIR_FEATURES)) for b in blocks]))
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=learning_rate, weight_decay=1e-3)
    ranker.train()
    loss = torch.zeros(())
    for _ in range(epochs):
        losses = []
        for index in rng.permutation(len(blocks)):
            loss = pair_loss(
                ranker, blocks[index], items.vectors, weights=weights,
                like_threshold=like_threshold,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        mean = float(np.mean(losses))
    return mean


def blocks_of(examples: Examples, size: int = BLOCK_USERS) -> list[IntArray]:
    """Example numbers, ordered by moment, in blocks that share one."""
    order = np.argsort(examples.at, kind="stable")
    edges = np.flatnonzero(np.diff(examples.at[order])) + 1
    groups = np.split(order, edges)
    return [part for group in groups for part in np.split(group, range(size, len(group), size))]


__all__ = ["HEADS", "PairBlock", "blocks_of", "fit_pairs", "prepare_block", "retrieve"]
