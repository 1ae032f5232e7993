"""What is known about a (user, item) pair besides the two vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pwrank.ranker.cooccurrence import user_item_matrix
from pwrank.ranker.popularity import FEATURE_NAMES

if TYPE_CHECKING:
    from scipy import sparse

    from pwrank.ranker.history import FloatArray, Histories
    from pwrank.ranker.model import ItemTable, UserTable

RECENT_ITEMS = 5
"""Interactions that say what a user is up to now."""

USER_FEATURES = ("user_log_length", "user_popularity", "user_item_age", "user_rating")
"""Columns of `user_features`."""

PAIR_FEATURES = (
    "taste",
    "followed_popularity",
    "cooccurrence",
    "log_cooccurrence",
    "recent_cooccurrence",
    "log_recent_cooccurrence",
    "text",
    "recent_text",
    "own_count",
    "own_recency",
    *FEATURE_NAMES,
    *USER_FEATURES,
)
"""Columns of `pair_features`."""

DENSE_CELLS = 16_000_000
"""Cells of a (users, items) block that may be held at once."""


def user_features(users: UserTable, items: ItemTable) -> Tensor:
    """(b, len(USER_FEATURES)) float32: how much, how popular, how new, how well rated."""
    mask = users.batch.mask.float()
    count = mask.sum(dim=1).clamp(min=1)
    popularity = items.popularity[users.batch.item]
    rating = torch.nan_to_num(users.batch.rating)
    rated = (~torch.isnan(users.batch.rating)).float().sum(dim=1)
    columns = [
        torch.log1p(users.lengths),
        (popularity[..., FEATURE_NAMES.index("lift_infd")] * mask).sum(dim=1) / count,
        (popularity[..., FEATURE_NAMES.index("log_age")] * mask).sum(dim=1) / count,
        (rating * mask).sum(dim=1) / (rated + 3.0),
    ]
    return torch.stack(columns, dim=-1)


def pair_features(users: UserTable, items: ItemTable, candidates: Tensor) -> Tensor:
    """(b, c, len(PAIR_FEATURES)) float32 of the pairs; candidates (b, c) int64."""
    dim = items.vectors.shape[1]
    both = items.retrieval[candidates]
    width = users.gates.shape[1]
    taste = torch.einsum("bd,bcd->bc", users.vectors, both[..., :dim])
    followed = torch.einsum("bk,bck->bc", users.gates, both[..., dim : dim + width])
    recent = users.histories.last(RECENT_ITEMS)
    matrix = items.cooccurrence.matrix
    long, short = (_cooccurrence(h, matrix, candidates) for h in (users.histories, recent))
    columns = [
        taste,
        followed,
        long,
        torch.log(long.clamp(min=0) + 1e-3),
        short,
        torch.log(short.clamp(min=0) + 1e-3),
        *_text(users, items, candidates),
        *_own(users.histories, len(items.vectors), candidates),
    ]
    own = user_features(users, items).unsqueeze(1).expand(-1, candidates.shape[1], -1)
    pair = torch.stack(columns, dim=-1)
    return torch.cat([pair, items.popularity[candidates], own], dim=-1)


def _cooccurrence(history: Histories, matrix: sparse.csr_matrix, candidates: Tensor) -> Tensor:
    """(b, c): sum over the history of the weight with which each item speaks for the candidate."""
    taken = user_item_matrix(history, matrix.shape[0])
    size = max(DENSE_CELLS // max(matrix.shape[1], 1), 1)
    rows = candidates.cpu().numpy()
    parts = [
        np.take_along_axis((taken[i : i + size] @ matrix).toarray(), rows[i : i + size], axis=1)
        for i in range(0, len(rows), size)
    ]
    scores = np.concatenate(parts) if parts else np.zeros(rows.shape)
    return torch.from_numpy(scores.astype(np.float32)).to(candidates.device)


def recency(histories: Histories, num_items: int) -> FloatArray:
    """(b, n) float32: 1 for the newest item of a history, 1/2 for the one before; 0 = not in it."""
    known = histories.item >= 0
    user = histories.user
    place = histories.offsets[1:][user] - np.arange(histories.num_interactions)
    newest = np.zeros((histories.num_users, num_items), np.float32)
    np.maximum.at(newest, (user[known], histories.item[known]), 1.0 / place[known])
    return newest


def _own(histories: Histories, num_items: int, candidates: Tensor) -> list[Tensor]:
    """How often and how lately the user has had the candidate; 0 unless repeats may be ranked."""
    rows = candidates.cpu().numpy()
    known = histories.item >= 0
    counts = np.zeros((histories.num_users, num_items), np.float32)
    np.add.at(counts, (histories.user[known], histories.item[known]), 1.0)
    both = (np.log1p(counts), recency(histories, num_items))
    return [
        torch.from_numpy(np.take_along_axis(dense, rows, 1)).to(candidates.device) for dense in both
    ]


def _text(users: UserTable, items: ItemTable, candidates: Tensor) -> list[Tensor]:
    """Cosine of the candidate's text with the mean text of the history, whole and recent."""
    mask = users.batch.mask
    position = mask.long().cumsum(dim=1)
    newest = mask & (position > position[:, -1:] - RECENT_ITEMS)
    past = items.text[users.batch.item]
    means = [
        functional.normalize((past * chosen.unsqueeze(-1)).sum(dim=1), dim=-1)
        for chosen in (mask, newest)
    ]
    if len(items.text) <= 20 * candidates.shape[1]:
        # A product with the whole catalogue is cheaper than fetching each candidate's text.
        return [(mean @ items.text.T).gather(1, candidates) for mean in means]
    text = items.text[candidates]
    return [torch.einsum("bd,bcd->bc", mean, text) for mean in means]
