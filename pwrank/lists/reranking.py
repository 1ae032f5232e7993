"""List-level rules after scoring: diversity, novelty, category caps, exploration. Pure, by batch.

Every rule only reorders; none may shorten a list. With all dials at zero the order is the score's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pwrank.config import RerankConfig
from pwrank.lists.exploration import Shares, added_last
from pwrank.lists.rank_by_rank import Cap, fill_ranks
from pwrank.ranker.compiled import aligned, compiled
from pwrank.ranker.history import FloatArray, IntArray

ZERO = np.float32(0.0)
LAST_PLACE = 0xFFFFFFFF
"""Places of a list are numbers of 32 bits."""


@dataclass(frozen=True)
class ItemFacts:
    """What the rules know of items; n items."""

    category: IntArray
    """(n,) number of the whole category string, from 0; -1 = none."""
    text: FloatArray
    """(n, dim) float32 unit embeddings."""
    interactions: IntArray
    """(n,) interactions before the cut."""


def by_score(scores: FloatArray, candidates: IntArray) -> IntArray:
    """Places (b, c) in falling score; equal scores by place, and empty candidates (-1) last."""
    bits = (scores + np.float32(0.0)).view(np.int32)  # -0.0 is 0.0
    ascending = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys = (~ascending).astype(np.int64) << 32
    keys[candidates < 0] = (LAST_PLACE + 1) * 0x7FFFFFFF
    keys |= np.arange(candidates.shape[1])
    keys.sort(axis=1)  # twice as fast as argsort
    return keys & LAST_PLACE


def rerank(
    order: IntArray,
    candidates: IntArray,
    facts: ItemFacts,
    config: RerankConfig,
    *,
    k: int,
    shares: Shares,
    added: int = 0,
    untouched: int = 0,
) -> tuple[IntArray, np.ndarray]:
    """Apply the declared rules to lists in the order of their scores.

    order, candidates: (b, c), of which the last `added` are there to be explored only, and of these
    the last `untouched` items that nobody touched, the likeliest first; shares: (b,) of the ranks
    that exploration has, not read where its dial is zero. Returns places (b, min(k, c)) into the
    candidates, and explored (same shape): whether the exploration dial put the item there.
    """
    scored, order = order, added_last(order, candidates, added, k) if added else order
    places = order[:, :k].copy()
    if config.diversity or config.novelty:
        for user, row in enumerate(order):
            places[user] = _rearrange(row, candidates[user], facts, config, k)
    if not (config.explore or config.max_per_category):
        return places, np.zeros(places.shape, np.bool_)
    if config.diversity or config.novelty:
        order = np.stack([_followed_by(*both) for both in zip(places, order, strict=True)])
    rare = facts.interactions <= config.explore_below
    shares = shares if config.explore else np.zeros(len(order))
    cap = Cap(facts.category, config.max_per_category, config.category_window)
    return fill_ranks(scored, order, candidates, untouched, rare, shares, cap, k)


def _followed_by(first: IntArray, order: IntArray) -> IntArray:
    """`first`, then the places of `order` that are not in it."""
    return np.concatenate([first, order[~np.isin(order, first)]])


def _rearrange(
    order: IntArray, rows: IntArray, facts: ItemFacts, config: RerankConfig, k: int
) -> IntArray:
    """The first k by maximal marginal relevance over `window` places, novelty part of relevance.

    Relevance and novelty are ranks among those places, by score and by fewest interactions, both
    scaled to 0..1, so that the dials mean the same for any model and any catalogue.
    """
    usable = int((rows[order] >= 0).sum())
    window = order[: min(config.window, usable)]
    if len(window) < 2:  # noqa: PLR2004 - nothing to rearrange
        return order[:k]
    scored = np.linspace(1.0, 0.0, len(window))
    seldom = np.empty(len(window))
    seldom[np.argsort(facts.interactions[rows[window]], kind="stable")] = scored
    worth = (1 - config.diversity) * ((1 - config.novelty) * scored + config.novelty * seldom)
    chosen = np.empty(min(k, len(window)), np.int64)
    if config.diversity:
        _choose(worth, config.diversity, aligned(facts.text[rows[window]]), chosen)
    else:
        chosen[:] = np.argsort(-worth, kind="stable")[: len(chosen)]
    return np.concatenate([window[chosen], order[len(window) :]])[:k]


@compiled
def _choose(
    worth: npt.NDArray[np.float64], diversity: float, vectors: FloatArray, chosen: IntArray
) -> None:
    """Into chosen (m,), one after the other: what gains most, of equal ones the first.

    The gain is worth (w,) less `diversity` times the likeness to the nearest of those chosen
    before, by vectors (w, d), and at least 0. Likenesses are computed for what is chosen only,
    four at once.
    """
    width, last = vectors.shape[1], len(worth) - 1
    dearth = np.zeros(len(worth))
    for number in range(len(chosen)):
        best, most = 0, -np.inf
        for place in range(len(worth)):
            gain = worth[place] - dearth[place]
            if gain > most:
                best, most = place, gain
        chosen[number] = best
        mine = vectors[best]
        for first in range(0, last + 1, 4):
            second, third, fourth = min(first + 1, last), min(first + 2, last), min(first + 3, last)
            one, two, three, four = vectors[first], vectors[second], vectors[third], vectors[fourth]
            a, b, c, d = ZERO, ZERO, ZERO, ZERO
            for k in range(width):
                a += mine[k] * one[k]
                b += mine[k] * two[k]
                c += mine[k] * three[k]
                d += mine[k] * four[k]
            dearth[first] = max(dearth[first], diversity * a)
            dearth[second] = max(dearth[second], diversity * b)
            dearth[third] = max(dearth[third], diversity * c)
            dearth[fourth] = max(dearth[fourth], diversity * d)
        dearth[best] = np.inf
