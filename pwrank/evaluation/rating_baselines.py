"""What the heads `like` and `rating` are measured against: user + item biases, and a factorisation.

Biases: level + user + item, each shrunk as the ratings say. Factorisation: the same with factors,
and nothing known of an item but its ratings (Lim and Teh 2007).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression

from pwrank.evaluation.metrics import Floats
from pwrank.ranker.history import IntArray
from pwrank.ranker.preference_training import PreferenceTask, factors_of, rounds_of

BASELINES = {"user + item": 0, "factorisation": None}
"""Factors; None: as many as the heads have."""

PARTS = 5
"""Of the users; the likes of each are told by a curve that learned from the others."""


@dataclass(frozen=True)
class RatingBaseline:
    """A fitted one; it knows n users and v items, and one more of each that it knows nothing of."""

    level: float
    users: Floats
    """(n + 1, k + 1), place 0 the bias."""
    items: Floats
    """(v + 1, k + 1)."""
    scale: tuple[float, float]
    """Lowest and highest rating."""

    def rating(self, user: IntArray, item: IntArray) -> Floats:
        """(m,) expected rating of each pair (m,); -1 = unknown."""
        own, other = self.users[user], self.items[item]
        inner = (own[:, 1:] * other[:, 1:]).sum(axis=1)
        rating: Floats = np.clip(self.level + own[:, 0] + other[:, 0] + inner, *self.scale)
        return rating


def fit_baselines(task: PreferenceTask, start: int) -> dict[str, RatingBaseline]:
    """By name, from a log with at least one rating; rounds chosen as for the heads.

    task: that of the heads; start: unix seconds at which the latest window begins.
    """
    log = task.log
    # One more user, the last, who rated nothing.
    everybody = replace(log, offsets=np.append(log.offsets, log.offsets[-1]))
    fitted = {}
    for name, own in BASELINES.items():
        alike = replace(task, factors=task.factors if own is None else own, text=False)
        taste = factors_of(alike, log, rounds_of(alike, start))
        items = taste.items(task.inputs)
        nobody = np.zeros((1, items.mean.shape[1]))
        fitted[name] = RatingBaseline(
            level=float(taste.level),
            users=taste.users(everybody, items).mean,
            items=np.vstack([items.mean, nobody]).astype(np.float64),
            scale=(float(np.nanmin(log.rating)), float(np.nanmax(log.rating))),
        )
    return fitted


def chance_of_a_like(predicted: Floats, liked: Floats, user: IntArray, seed: int) -> Floats:
    """(m,) probability of a like that rises with the prediction, by isotonic regression.

    Of the judged pairs themselves, but for each user from the pairs of other users alone: a
    baseline never sees what it is judged by, only how the period is in general. NaN where one user
    has all the pairs.

    predicted, liked (0 or 1), user (any numbers): (m,).
    """
    users, place = np.unique(user, return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(users))[place] % PARTS
    told = np.full(len(predicted), np.nan)
    for number in range(PARTS):
        own = part == number
        if own.any() and not own.all():
            told[own] = _curve(predicted[~own], liked[~own], predicted[own])
    return told


def _curve(predicted: Floats, liked: Floats, at: Floats) -> Floats:
    """What the first two teach, at other predictions: steps, and straight lines between them."""
    steps, place = np.unique(predicted, return_inverse=True)
    weight = np.bincount(place).astype(np.float64)
    share = np.bincount(place, liked) / weight
    chance: Floats = np.interp(at, steps, isotonic_regression(share, weights=weight).x)
    return chance
