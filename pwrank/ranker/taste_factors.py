"""Ratings as biases and factors: r = level + user bias + item bias + <user, item>, with doubt.

Bayesian matrix factorisation. The factors of an item lean on its text and categories until it was
rated enough, those of a user are computed from what the user rated when a score is wanted: nobody
needs a row of their own in the model. Place 0 of a factor vector is the bias.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.inverse_kernels import invert_each
from pwrank.ranker.item_encoder import ItemInputs

Floats = npt.NDArray[np.float64]
"""Means, variances, predictions."""


@dataclass(frozen=True)
class Beliefs:
    """Factor vectors of n users or items, as normal distributions."""

    mean: Floats
    """(n, k + 1)."""
    covariance: FloatArray
    """(n, k + 1, k + 1); float32, which halves the time and changes no figure (CHANGELOG)."""

    def as_design(self) -> tuple[Floats, FloatArray, Floats]:
        """The vectors as what multiplies the other side's: bias place 1.

        First moment (n, k + 1), second moment (n, (k + 1)²), and covariance with the own bias.
        """
        design = self.mean.copy()
        design[:, 0] = 1.0
        first = design.astype(np.float32)
        second: FloatArray = first[:, :, None] * first[:, None, :]
        second[:, 1:, 1:] += self.covariance[:, 1:, 1:]
        cross = np.zeros_like(design)
        cross[:, 1:] = self.covariance[:, 0, 1:]
        return design, second.reshape(len(design), design.shape[1] ** 2), cross


@dataclass(frozen=True)
class RatedBy:
    """Ratings seen from one side: rows are who is to be learned, columns what is given."""

    count: sparse.csr_matrix
    """(n, m): how many ratings."""
    total: sparse.csr_matrix
    """(n, m): their sum, as deviations from the level."""
    squares: Floats
    """(n,): sum of their squares."""


def rated_by(row: IntArray, column: IntArray, value: Floats, shape: tuple[int, int]) -> RatedBy:
    """row, column, value: (m,) of each rating."""
    return RatedBy(
        sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape),
        sparse.csr_matrix((value, (row, column)), shape=shape),
        np.bincount(row, value * value, minlength=shape[0]).astype(np.float64),
    )


def believe(
    ratings: RatedBy, given: Beliefs, prior_mean: Floats, prior_variance: Floats, noise: float
) -> tuple[Beliefs, float]:
    """What the ratings and the other side say of each row, and the expected squared error in all.

    prior_mean: (n, k + 1) or (k + 1,); prior_variance: (k + 1,).
    """
    design, second, cross = given.as_design()
    width = design.shape[1]
    precision = 1.0 / prior_variance
    bias = given.mean[:, :1]
    moment = ratings.total @ design - ratings.count @ (design * bias + cross)
    pull = moment / noise + prior_mean * precision
    covariance: FloatArray = (ratings.count @ second).reshape(-1, width, width)
    covariance /= np.float32(noise)
    covariance[:, np.arange(width), np.arange(width)] += precision.astype(np.float32)
    invert_each(covariance)
    mean = np.einsum("nab,nb->na", covariance, pull.astype(np.float32)).astype(np.float64)
    bias_squares = given.mean[:, 0] ** 2 + given.covariance[:, 0, 0]
    # What factors explain: the moments with the second moments of the ratings, which are noise
    # times what the inverse of the covariance has beyond the prior's.
    seconds = mean**2 + np.diagonal(covariance, axis1=1, axis2=2)
    explained = (mean * pull).sum() + covariance.shape[0] * width - (seconds @ precision).sum()
    error = (
        ratings.squares.sum()
        - 2.0 * (ratings.total @ given.mean[:, 0]).sum()
        + (ratings.count @ bias_squares).sum()
        - 2.0 * (moment * mean).sum()
        + noise * explained
    )
    return Beliefs(mean, covariance), float(error)


@dataclass(frozen=True)
class ItemFactors:
    """Items of a catalogue, n of them."""

    mean: FloatArray
    """(n, k + 1)."""
    variance: FloatArray
    """(n, k + 1)."""


@dataclass(frozen=True)
class TasteFactors:
    """All that is learned of one kind of rating; v items of the model's vocabulary."""

    level: FloatArray
    """() mean of the ratings learned from."""
    noise: FloatArray
    """() variance of a rating that factors do not explain."""
    user_variance: FloatArray
    """(k + 1,) of users, around 0."""
    item_variance: FloatArray
    """(k + 1,) of items, around what their text and categories say."""
    constant: FloatArray
    """(k + 1,) item without text or category."""
    text: FloatArray
    """(text_dim, k + 1)."""
    category: FloatArray
    """(categories + 1, k + 1), row 0 = unknown."""
    known_mean: FloatArray
    """(v, k + 1)."""
    known_variance: FloatArray
    """(v, k + 1)."""

    def items(self, inputs: ItemInputs) -> ItemFactors:
        """Items as the model sees them; one without ratings by its text and categories."""
        text, labels = inputs.text.cpu().numpy(), category_matrix(inputs, len(self.category))
        mean = (self.constant + text @ self.text + labels @ self.category).astype(np.float32)
        variance = np.broadcast_to(self.item_variance, mean.shape).copy()
        identity = inputs.identity.cpu().numpy()
        rows = np.flatnonzero(identity)
        mean[rows] = self.known_mean[identity[rows] - 1]
        variance[rows] = self.known_variance[identity[rows] - 1]
        return ItemFactors(mean, variance)

    def users(self, histories: Histories, items: ItemFactors) -> Beliefs:
        """Users by what they rated; one who rated nothing is like everybody."""
        rows = np.flatnonzero(~np.isnan(histories.rating) & (histories.item >= 0))
        used, column = np.unique(histories.item[rows], return_inverse=True)
        variance = items.variance[used]
        alone = np.eye(variance.shape[1], dtype=np.float32)
        given = Beliefs(items.mean[used].astype(np.float64), variance[:, :, None] * alone)
        deviation = histories.rating[rows].astype(np.float64) - float(self.level)
        shape = (histories.num_users, len(used))
        ratings = rated_by(histories.user[rows], column.astype(np.int64), deviation, shape)
        nothing = np.zeros(len(self.user_variance))
        users, _ = believe(
            ratings, given, nothing, self.user_variance.astype(np.float64), float(self.noise)
        )
        return users

    def predict(
        self, users: Beliefs, items: ItemFactors, candidates: IntArray
    ) -> tuple[Floats, Floats]:
        """Mean and variance (b, c) of a rating; candidates (b, c) rows of the items."""
        item = items.mean[candidates].astype(np.float64)
        doubt = items.variance[candidates].astype(np.float64)
        bias = item[..., 0].copy()
        item[..., 0] = 1.0
        mean = float(self.level) + bias + np.einsum("bcd,bd->bc", item, users.mean)
        squares = users.mean**2
        squares[:, 0] = 1.0
        own = np.diagonal(users.covariance, axis1=1, axis2=2).copy()
        own[:, 0] = 0.0
        variance = (
            float(self.noise)
            + np.einsum("bcd,bde,bce->bc", item, users.covariance, item)
            + np.einsum("bcd,bd->bc", doubt, squares + own)
        )
        return mean, variance

    def to_tensors(self, prefix: str) -> dict[str, Tensor]:
        """Named arrays to keep."""
        named = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        return {prefix + name: torch.from_numpy(value.copy()) for name, value in named.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], prefix: str) -> TasteFactors:
        """Inverse of `to_tensors`."""
        return cls(**{field.name: tensors[prefix + field.name].numpy() for field in fields(cls)})


def category_matrix(inputs: ItemInputs, width: int) -> sparse.csr_matrix:
    """(n, width) float32: 1 for each category of an item; column 0 = unknown ones."""
    offsets, labels = inputs.category_offsets.cpu().numpy(), inputs.category_labels.cpu().numpy()
    values = np.ones(len(labels), np.float32)
    return sparse.csr_matrix((values, labels, offsets), shape=(len(offsets) - 1, width))
