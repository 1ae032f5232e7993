"""Whether a user who takes an item will like it, and how they will rate it.

Learned from ratings alone, apart from what ranks the nightly lists; a log without ratings has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.item_encoder import ItemInputs
from pwrank.ranker.taste_factors import Floats, ItemFactors, TasteFactors

PREFIX = "preference/"
STARS = PREFIX + "stars/"


@dataclass(frozen=True)
class PreferenceItems:
    """A catalogue of n items as both kinds of factors see it."""

    stars: tuple[ItemFactors, ...]
    likes: ItemFactors


@dataclass(frozen=True)
class Preferences:
    """What b users think of c candidates each."""

    like: FloatArray
    """(b, c): probability that the rating is at or above the threshold."""
    rating: FloatArray
    """(b, c): expected rating in the source's units, within its scale."""


@dataclass(frozen=True)
class PreferenceModel:
    """The heads `like` and `rating`."""

    stars: tuple[TasteFactors, ...]
    """Of ratings, in the source's units; each from another start. Their mean is what counts."""
    likes: TasteFactors
    """Of the same ratings as 1 = at or above the threshold, 0 = below."""
    scale: FloatArray
    """(3,): lowest rating, highest rating, and the rating from which on an item is liked."""
    weights: FloatArray
    """(4,) of the logistic regression: constant, and one for each column of `like_evidence`."""

    def items(self, inputs: ItemInputs) -> PreferenceItems:
        """A catalogue through the model; made once a run."""
        stars = tuple(each.items(inputs) for each in self.stars)
        return PreferenceItems(stars, self.likes.items(inputs))

    def score(
        self, histories: Histories, items: PreferenceItems, candidates: IntArray
    ) -> Preferences:
        """candidates: (b, c) int64 rows of the items, for each user of the histories."""
        evidence, rating = self.like_evidence(histories, items, candidates)
        low, high, _ = self.scale
        like = expit(self.weights[0] + evidence @ self.weights[1:])
        return Preferences(like.astype(np.float32), np.clip(rating, low, high).astype(np.float32))

    def like_evidence(
        self, histories: Histories, items: PreferenceItems, candidates: IntArray
    ) -> tuple[Floats, Floats]:
        """What speaks for a like (b, c, 3), and the rating (b, c).

        How many deviations the rating stands above the threshold, the share of likes, and 1 for a
        user who rated nothing: who comes anew rates higher or lower than who stays.
        """
        mean, variance = self._expected(histories, items.stars, candidates)
        threshold = float(self.scale[2])
        liked = likes_of(histories, threshold)
        share, _ = self.likes.predict(self.likes.users(liked, items.likes), items.likes, candidates)
        above = (mean - threshold) / np.sqrt(variance)
        rated = histories.user[~np.isnan(histories.rating) & (histories.item >= 0)]
        stranger = np.bincount(rated, minlength=histories.num_users) == 0
        columns = [
            above,
            share - float(self.likes.level),
            np.broadcast_to(stranger[:, None], mean.shape),
        ]
        return np.stack(columns, axis=-1), mean

    def _expected(
        self, histories: Histories, items: tuple[ItemFactors, ...], candidates: IntArray
    ) -> tuple[Floats, Floats]:
        """Mean and variance (b, c) of a rating: of a mixture of all stars, each as likely."""
        told = [
            factors.predict(factors.users(histories, seen), seen, candidates)
            for factors, seen in zip(self.stars, items, strict=True)
        ]
        means, variances = np.stack([mean for mean, _ in told]), np.stack([v for _, v in told])
        return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)

    def to_tensors(self) -> dict[str, Tensor]:
        """Named arrays to keep."""
        own = {"scale": torch.from_numpy(self.scale), "weights": torch.from_numpy(self.weights)}
        tensors = {PREFIX + name: value for name, value in own.items()}
        for number, stars in enumerate(self.stars):
            tensors |= stars.to_tensors(f"{STARS}{number}/")
        return tensors | self.likes.to_tensors(PREFIX + "likes/")

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> PreferenceModel | None:
        """Inverse of `to_tensors`; None where there is nothing of the kind."""
        if PREFIX + "weights" not in tensors:
            return None
        starts = {name.split("/")[2] for name in tensors if name.startswith(STARS)}
        return cls(
            tuple(TasteFactors.from_tensors(tensors, f"{STARS}{n}/") for n in range(len(starts))),
            TasteFactors.from_tensors(tensors, PREFIX + "likes/"),
            tensors[PREFIX + "scale"].numpy(),
            tensors[PREFIX + "weights"].numpy(),
        )


def likes_of(histories: Histories, threshold: float) -> Histories:
    """The same histories with 1 for a rating at or above the threshold and 0 for one below."""
    rating = histories.rating
    liked = np.where(np.isnan(rating), np.nan, rating >= threshold).astype(np.float32)
    return replace(histories, rating=liked)
