"""How well a ranker ranks what users took next, beside plain popularity on the same users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pwrank.ranker.examples import Examples
from pwrank.ranker.held_out_training import (
    Evidence,
    excluded_items,
    tables_of,
    wanted_items,
)
from pwrank.ranker.model import Ranker
from pwrank.ranker.popularity import FEATURE_NAMES
from pwrank.ranker.proposals import PROPOSED_BY

K = 10
"""Ranks that count."""

DEPTH = 500
"""Items that retrieval proposes to the point-wise ranker."""

Gains = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """NDCG@10 of each of e users, full catalogue, items of the history left out."""

    ranker: Gains
    """(e,)."""
    popularity: Gains
    """(e,) of the popularity that does best: over one, four, sixteen days or all time."""

    @property
    def users(self) -> int:
        """Users that had something to find."""
        return len(self.ranker)


def mean_and_error(gains: Gains) -> tuple[float, float]:
    """Mean of (e,) and its standard error; 0 and 0 of nobody."""
    if len(gains) == 0:
        return 0.0, 0.0
    return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))


@torch.no_grad()
def try_ranker(ranker: Ranker, evidence: Evidence, examples: Examples) -> Trial:
    """Rank for each example as of its moment; what it then took is to be found."""
    found = [np.zeros((0, 1 + len(PROPOSED_BY)))]
    offered = torch.from_numpy(evidence.catalogue.available).to(ranker.device)
    for block, items, users in tables_of(ranker, evidence, examples):
        excluded = excluded_items(evidence, block, ranker.device) | ~offered
        label = wanted_items(evidence, block, ranker.device) * offered
        near = (users.retrieval @ items.retrieval.T).masked_fill(excluded, float("-inf"))
        depth = min(DEPTH, near.shape[1])
        values, candidates = near.topk(depth, dim=1)
        scores = ranker.score(users, items, candidates).logit
        scores = scores.masked_fill(values == float("-inf"), float("-inf"))
        places = candidates.gather(1, scores.topk(min(K, depth), dim=1).indices)
        gains = [ndcg(label, places)]
        for name in PROPOSED_BY:
            popular = items.popularity[:, FEATURE_NAMES.index(name)].expand(len(label), -1)
            popular = popular.masked_fill(excluded, float("-inf"))
            gains.append(ndcg(label, popular.topk(min(K, popular.shape[1]), dim=1).indices))
        rows = torch.stack(gains, dim=1)[label.sum(dim=1) > 0]
        found.append(rows.double().cpu().numpy())
    table = np.concatenate(found)
    best = 1 + int(np.argmax(table[:, 1:].mean(axis=0))) if len(table) else 1
    return Trial(table[:, 0], table[:, best])


def ndcg(label: Tensor, places: Tensor) -> Tensor:
    """(b,) NDCG of the first ranks; label (b, n) 0 or 1, places (b, k) rows of the catalogue."""
    weight = 1.0 / torch.log2(torch.arange(places.shape[1], device=label.device) + 2.0)
    gain = (label.gather(1, places) * weight).sum(dim=1)
    ideal = weight.cumsum(0)
    reachable = label.sum(dim=1).long().clamp(1, places.shape[1])
    return gain / ideal[reachable - 1]
