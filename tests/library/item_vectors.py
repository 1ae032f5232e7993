"""Random item vectors, pools of them and an index over them, for the tests of `pwrank.lists`."""

from __future__ import annotations

import numpy as np
import torch

from pwrank.config import IndexConfig
from pwrank.lists.exact_search import make_pool
from pwrank.lists.retrieval import build_index

DIM = 8


def vectors(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, DIM)).astype(np.float32)


def pool_of(items, rows=None):
    rows = np.arange(len(items), dtype=np.int64) if rows is None else rows
    return make_pool(torch.from_numpy(items), rows)


def index_of(items, queries=None, k=10, **settings):
    queries = vectors(20, seed=1) if queries is None else queries
    return build_index(pool_of(items), queries, IndexConfig(**settings), k=k)
