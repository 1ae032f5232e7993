"""The items as arrays: ids, text embeddings, categories, availability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pwrank.ranker.history import FloatArray, IntArray


@dataclass(frozen=True)
class Catalogue:
    """Everything the models know about items; item `i` is row `i` of every array."""

    item_ids: npt.NDArray[Any]
    """(n,) int64 or object (str): ids as the source spells them."""
    text: FloatArray
    """(n, dim) float32: unit embeddings of the item texts; a zero row means no text."""
    category_offsets: IntArray
    """(n + 1,) int64: item `i` owns `category_labels[offsets[i]:offsets[i + 1]]`."""
    category_labels: IntArray
    """(k,) int64: index into `category_names`."""
    category_names: tuple[str, ...]
    """Names of the categories."""
    available: npt.NDArray[np.bool_]
    """(n,) bool: may be recommended."""

    @property
    def num_items(self) -> int:
        """Items, unavailable ones included."""
        return len(self.item_ids)

    @property
    def text_dim(self) -> int:
        """Width of the text embeddings."""
        return int(self.text.shape[1])


def centred_text(text: FloatArray) -> FloatArray:
    """Unit vectors (n, dim) less what all texts have in common, unit again; zero rows stay.

    Raw cosines of a catalogue are dominated by what all its titles share.
    """
    there = np.linalg.norm(text, axis=1, keepdims=True) > 0
    moved = np.where(there, text - text[there.ravel()].mean(axis=0), 0.0) if there.any() else text
    length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return np.asarray(moved / length, np.float32)


def text_axes(text: FloatArray, most: int) -> FloatArray:
    """(dim, most) float32: the directions in which centred texts differ most, widest first.

    Principal components by the eigenvectors of the covariance; orthonormal, so inner products on
    them are what those of whole texts keep.
    """
    centred = centred_text(text)
    _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    return np.ascontiguousarray(vectors[:, ::-1][:, :most], np.float32)


def on_axes(text: FloatArray, axes: Tensor) -> Tensor:
    """Texts (n, dim), centred, on axes (dim, t): (n, t) float32 unit, where the axes are."""
    centred = torch.from_numpy(centred_text(text)).to(axes.device)
    return functional.normalize(centred @ axes, dim=1)


def plain_catalogue(item_ids: npt.NDArray[Any], text: FloatArray) -> Catalogue:
    """A catalogue without categories in which everything is available."""
    num_items = len(item_ids)
    return Catalogue(
        item_ids=item_ids,
        text=text,
        category_offsets=np.zeros(num_items + 1, np.int64),
        category_labels=np.zeros(0, np.int64),
        category_names=(),
        available=np.ones(num_items, np.bool_),
    )
