"""What is known about a (user, item) pair besides the two vectors.

Features are declared by what they depend on: both (`PAIRWISE_FEATURES`), the item or the user. Only
the first kind is worth computing for each pair, and it is declared by form, so that the compiled
scorer of the night knows a new one by its declaration: an inner product with a table of items, the
weights with which the history speaks for the item, or the item's own place in the history.
"""

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
    from pwrank.ranker.history_encoder import HistoryBatch
    from pwrank.ranker.model import ItemTable, UserTable

RECENT_ITEMS = 5
"""Interactions that say what a user is up to now."""

INNER_PRODUCTS = {
    "taste": ("taste",),
    "popularity": ("followed_popularity",),
    "text": ("text", "recent_text"),
}
"""Features that are inner products, by the table of items that they share: see `item_sides`."""

COOCCURRENCES = {"cooccurrence": 0, "recent_cooccurrence": RECENT_ITEMS}
"""Sums of weights of the newest so many interactions, 0 = all; each has a `log_` feature too."""

STRONGEST = "strongest_cooccurrence"
"""The largest of these weights: one item of the history may say all; has a `log_` feature too."""

WALK = "walk"
"""Sum of the walks from the items of the history: see `walk_weights`."""

OWN = ("own_count", "own_recency")
"""How often and how lately the user has had the item itself."""

PAIRWISE_FEATURES = (
    "taste",
    "followed_popularity",
    "cooccurrence",
    "log_cooccurrence",
    "recent_cooccurrence",
    "log_recent_cooccurrence",
    "strongest_cooccurrence",
    "log_strongest_cooccurrence",
    "walk",
    "text",
    "recent_text",
    *OWN,
)
"""Features of both user and item: the first columns of `pair_features`."""

ITEM_FEATURES = FEATURE_NAMES
"""Features of the item alone."""

USER_POPULARITY = {"user_popularity": "lift_infd", "user_item_age": "log_age"}
"""Features that are means over what was read of a history, and of which feature of its items."""

USER_FEATURES = ("user_log_length", *USER_POPULARITY, "user_rating")
"""Columns of `user_features`."""

PAIR_FEATURES = (*PAIRWISE_FEATURES, *ITEM_FEATURES, *USER_FEATURES)
"""Columns of `pair_features`."""

RATINGS_OF_NOBODY = 3.0
"""So many ratings of the mean are added to those of a user."""

SMALLEST_COOCCURRENCE = 1e-3
"""Added before the logarithm."""

DENSE_CELLS = 16_000_000
"""Cells of a (users, items) block that may be held at once."""


def user_features(users: UserTable, items: ItemTable) -> Tensor:
    """(b, len(USER_FEATURES)) float32: how much, how popular, how new, how well rated."""
    mask = users.batch.mask.float()
    count = mask.sum(dim=1).clamp(min=1)
    told = (items.popularity[:, FEATURE_NAMES.index(name)] for name in USER_POPULARITY.values())
    loved, age = (column[users.batch.item] * mask for column in told)
    rating = torch.nan_to_num(users.batch.rating)
    rated = (~torch.isnan(users.batch.rating)).float().sum(dim=1)
    columns = [
        torch.log1p(users.lengths),
        loved.sum(dim=1) / count,
        age.sum(dim=1) / count,
        (rating * mask).sum(dim=1) / (rated + RATINGS_OF_NOBODY),
    ]
    return torch.stack(columns, dim=-1)


def item_sides(items: ItemTable) -> dict[str, Tensor]:
    """The tables (n, d) float32 of INNER_PRODUCTS."""
    dim, features = items.vectors.shape[1], items.popularity.shape[1]
    basis = items.retrieval[:, dim : items.retrieval.shape[1] - features - 1]
    return {"taste": items.vectors, "popularity": basis, "text": items.text}


def user_sides(users: UserTable, items: ItemTable) -> dict[str, Tensor]:
    """What meets each table of INNER_PRODUCTS: (b, q, d) float32, q features of that table."""
    item, mask = users.batch.item, users.batch.mask
    newest = mask.sum(dim=1, keepdim=True) - 1 - torch.arange(RECENT_ITEMS, device=mask.device)
    lately = item.gather(1, newest.clamp(0, item.shape[1] - 1))
    recent = functional.normalize(_sum_of(items.text, lately, newest >= 0), dim=-1)
    return {
        "taste": users.vectors.unsqueeze(1),
        "popularity": users.gates.unsqueeze(1),
        "text": torch.stack([users.text, recent], dim=1),
    }


def history_text(batch: HistoryBatch, text: Tensor) -> Tensor:
    """(b, dim) float32 unit: what texts (n, dim) of histories say together; 0 where nothing."""
    return functional.normalize(_sum_of(text, batch.item, batch.mask), dim=-1)


def _sum_of(table: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
    """(b, d): of rows (b, l) of a table (n, d), those where mask is true."""
    return functional.embedding_bag(rows, table, mode="sum", per_sample_weights=mask.to(table))


def pairwise_features(users: UserTable, items: ItemTable, candidates: Tensor) -> Tensor:
    """(b, c, len(PAIRWISE_FEATURES)) float32 of the pairs; candidates (b, c) int64."""
    columns: dict[str, Tensor] = {}
    tables, queries = item_sides(items), user_sides(users, items)
    for table, names in INNER_PRODUCTS.items():
        products = _inner_products(queries[table], tables[table], candidates)
        columns |= dict(zip(names, products.unbind(dim=1), strict=True))
    matrix = items.cooccurrence.matrix
    for name, newest in COOCCURRENCES.items():
        history = users.histories.last(newest) if newest else users.histories
        columns[name] = _cooccurrence(history, matrix, candidates)
    columns[STRONGEST] = _strongest(users.histories, matrix, candidates)
    columns[WALK] = _cooccurrence(users.histories, items.cooccurrence.walks, candidates)
    for name in (*COOCCURRENCES, STRONGEST):
        columns[f"log_{name}"] = torch.log(columns[name].clamp(min=0) + SMALLEST_COOCCURRENCE)
    columns |= dict(zip(OWN, _own(users.histories, len(items.vectors), candidates), strict=True))
    return torch.stack([columns[name] for name in PAIRWISE_FEATURES], dim=-1)


def pair_features(users: UserTable, items: ItemTable, candidates: Tensor) -> Tensor:
    """(b, c, len(PAIR_FEATURES)) float32 of the pairs; candidates (b, c) int64."""
    own = user_features(users, items).unsqueeze(1).expand(-1, candidates.shape[1], -1)
    pair = pairwise_features(users, items, candidates)
    return torch.cat([pair, items.popularity[candidates], own], dim=-1)


def _inner_products(queries: Tensor, table: Tensor, candidates: Tensor) -> Tensor:
    """queries (b, q, d), table (n, d) -> (b, q, c)."""
    if len(table) <= 20 * candidates.shape[1]:
        # A product with the whole catalogue is cheaper than fetching each candidate's row.
        everything = queries @ table.T
        return everything.gather(2, candidates.unsqueeze(1).expand(-1, queries.shape[1], -1))
    return torch.einsum("bqd,bcd->bqc", queries, table[candidates])


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


def _strongest(history: Histories, matrix: sparse.csr_matrix, candidates: Tensor) -> Tensor:
    """(b, c): the largest weight with which an item of a history speaks for a candidate; or 0."""
    rows = candidates.cpu().numpy()
    out = np.zeros(rows.shape, np.float32)
    size = max(DENSE_CELLS // max(matrix.shape[1], 1), 1)
    for first in range(0, len(rows), size):
        part = history.select(np.arange(first, min(first + size, len(rows))))
        known = part.item >= 0
        item, user = part.item[known], part.user[known]
        count = matrix.indptr[item + 1] - matrix.indptr[item]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        place = np.repeat(matrix.indptr[item], count) + within
        largest = np.zeros((part.num_users, matrix.shape[1]), np.float32)
        np.maximum.at(largest, (np.repeat(user, count), matrix.indices[place]), matrix.data[place])
        out[first : first + size] = np.take_along_axis(largest, rows[first : first + size], axis=1)
    return torch.from_numpy(out).to(candidates.device)


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
