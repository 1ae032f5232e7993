"""The approximate index of a large catalogue, and how much it may be trusted.

Exact search (`exact_search`) is one blocked matrix product and beats every approximate index up to
some 100,000 items; above that an inverted file (Sivic and Zisserman 2003) is probed as widely as
its measured recall asks for. HNSW is not offered: built on several threads it is not reproducible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
import torch
from torch import Tensor

from pwrank.config import IndexConfig
from pwrank.lists.exact_search import Pool, search_exactly
from pwrank.ranker.history import FloatArray, IntArray
from pwrank.ranker.user_blocks import BLOCK_USERS

TRAINING_POINTS_PER_LIST = 64
"""FAISS asks for at least 39 points a list; of more, a sample is as good and sooner done."""


@dataclass(frozen=True)
class RecallCertificate:
    """Measured recall of an index against exact search."""

    kind: str
    recall: float
    k: int
    queries: int
    probes: int


@dataclass(frozen=True)
class ApproximateIndex:
    """An inverted file over the items that may be recommended."""

    index: faiss.IndexIVF
    centroids: Tensor
    """(lists, r) float32."""

    def search(self, queries: Tensor, users: IntArray, k: int) -> IntArray:
        """(len(users), k) the best rows found for some users of a whole block of queries (b, r).

        By falling inner product, -1 where fewer were found. The lists to probe come from a product
        of fixed shape, so that they do not depend on the other users.
        """
        nearest = torch.topk(queries @ self.centroids.T, self.index.nprobe, dim=1)
        lists, closeness = nearest.indices.numpy()[users], nearest.values.numpy()[users]
        asked = np.ascontiguousarray(queries.numpy()[users])
        search = cast("Any", self.index).search_preassigned  # typed as in C++
        found: IntArray = search(asked, k, lists, closeness)[1]
        return found


def in_blocks(queries: FloatArray) -> Iterator[tuple[Tensor, int]]:
    """Queries (q, r) as whole blocks, filled up with zeros, and how many of each are real."""
    for start in range(0, len(queries), BLOCK_USERS):
        part = torch.from_numpy(queries[start : start + BLOCK_USERS])
        filling = part.new_zeros(BLOCK_USERS - len(part), part.shape[1])
        yield torch.cat([part, filling]), len(part)


def is_approximate(pool: Pool, config: IndexConfig) -> bool:
    """Whether a pool is to be searched by an approximate index."""
    large = len(pool.rows) > config.exact_up_to
    return config.kind == "ivf" or (config.kind == "auto" and large)


def build_index(
    pool: Pool, queries: FloatArray, config: IndexConfig, *, k: int
) -> tuple[ApproximateIndex | None, RecallCertificate]:
    """An approximate index over a pool where it pays, and what it finds; None: search exactly.

    queries: (q, r) user vectors on which recall@k is measured. The number of probes is doubled
    until the recall reaches the target or everything is probed.
    """
    if not is_approximate(pool, config) or len(queries) == 0:
        return None, RecallCertificate("exact", 1.0, k, len(queries), 0)
    built = _inverted_file(pool)
    truth = nearest_rows(pool, queries, k)
    probes, recall = 0, 0.0
    while recall < config.target_recall and probes < built.index.nlist:
        probes = min(built.index.nlist, max(8, probes * 2))
        built.index.nprobe = probes
        recall = overlap(rows_found(built, queries, k), truth)
    return built, RecallCertificate("ivf", recall, k, len(queries), probes)


def _inverted_file(pool: Pool) -> ApproximateIndex:
    vectors = pool.vectors.numpy()
    lists = max(1, int(4 * math.sqrt(len(vectors))))
    lists = min(lists, max(1, len(vectors) // TRAINING_POINTS_PER_LIST))
    coarse = faiss.IndexFlatIP(vectors.shape[1])
    index = faiss.IndexIVFFlat(coarse, vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = TRAINING_POINTS_PER_LIST
    index.train(vectors)
    index.add_with_ids(vectors, pool.rows)
    return _with_centroids(index)


def _with_centroids(index: faiss.IndexIVF) -> ApproximateIndex:
    centroids = index.quantizer.reconstruct_n(0, index.nlist)
    return ApproximateIndex(index, torch.from_numpy(centroids))


def nearest_rows(pool: Pool, queries: FloatArray, k: int) -> IntArray:
    """(q, k) the rows of the pool nearest to queries (q, r), ascending, -1 behind them."""
    rows = np.full((len(queries), k), -1, np.int64)
    for number, (block, users) in enumerate(in_blocks(queries)):
        start = number * BLOCK_USERS
        search_exactly(pool, block, (), rows[start : start + users])
    return rows


def rows_found(index: ApproximateIndex, queries: FloatArray, k: int) -> IntArray:
    """(q, k) the rows that the index finds for queries (q, r), -1 where fewer."""
    found = [index.search(block, np.arange(users), k) for block, users in in_blocks(queries)]
    return np.concatenate(found) if found else np.zeros((0, k), np.int64)


def overlap(found: IntArray, truth: IntArray) -> float:
    """Share of the true rows (q, k) that were found (q, k); -1 stands for none."""
    hits = sum(
        len(np.intersect1d(one[one >= 0], other[other >= 0]))
        for one, other in zip(found, truth, strict=True)
    )
    return hits / max(1, int((truth >= 0).sum()))


def write_index(index: ApproximateIndex, path: Path) -> None:
    """Write to a file name; the caller renames."""
    faiss.write_index(index.index, str(path))


def read_index(path: Path, probes: int) -> ApproximateIndex:
    """Read an index that this lake wrote."""
    index = cast("faiss.IndexIVF", faiss.read_index(str(path)))
    index.nprobe = probes
    return _with_centroids(index)
