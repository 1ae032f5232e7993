"""A new ranker beside the one in use and beside popularity, on what neither encoder has read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pwrank.ranker.examples import Examples, at_few_moments, sample, window_examples
from pwrank.ranker.held_out_training import Evidence
from pwrank.ranker.model import Ranker
from pwrank.ranker.trial import mean_and_error, try_ranker

FEWEST_USERS = 30
"""With fewer users to compare on, the ranker in use is left out of the comparison."""


@dataclass(frozen=True)
class Champion:
    """The ranker in use."""

    ranker: Ranker
    since: int
    """Unix seconds; it was trained on what came before."""


def validation_figures(
    rivals: tuple[Ranker, Champion | None],
    evidence: Evidence,
    start: int,
    *,
    most_users: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """NDCG@10 of each, and the standard error of the challenger's difference to the others.

    rivals: challenger and champion. start: unix seconds; what came later taught the challenger's
    heads, but not its encoder. With a champion, only what came after its training counts.
    """
    challenger, champion = rivals
    later = max(start, champion.since) if champion else start
    examples = _examples(evidence, later, most_users, rng)
    if champion and len(np.unique(examples.user)) < FEWEST_USERS:
        champion = None
        examples = _examples(evidence, start, most_users, rng)
    tried = try_ranker(challenger, evidence, examples)
    figures = {
        "validation_users": float(tried.users),
        "validation_ndcg@10": mean_and_error(tried.ranker)[0],
        "popularity_ndcg@10": mean_and_error(tried.popularity)[0],
        "popularity_error": mean_and_error(tried.ranker - tried.popularity)[1],
    }
    if champion:
        other = try_ranker(champion.ranker, evidence, examples)
        figures["champion_ndcg@10"] = mean_and_error(other.ranker)[0]
        figures["champion_error"] = mean_and_error(tried.ranker - other.ranker)[1]
    return figures


def _examples(
    evidence: Evidence, start: int, most_users: int, rng: np.random.Generator
) -> Examples:
    """Users as they were at `start`, and those who came later at a step of their first days."""
    found = window_examples(evidence.log, start, cuts=1, splits=1, after=10, rng=rng)
    return at_few_moments(sample(found, most_users, rng), 8)
