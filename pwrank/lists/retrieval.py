"""FAISS: the items whose inner product with a user vector is largest.

Exact search is one blocked matrix product and beats every approximate index in batches up to
some 100,000 items; above that an inverted file (Sivic and Zisserman 2003) is probed as widely as
its measured recall asks for. HNSW is not offered: built on several threads it is not reproducible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from pwrank.config import IndexConfig
from pwrank.ranker.history import FloatArray, IntArray

TRAINING_POINTS_PER_LIST = 64
"""FAISS asks for at least 39 points a list."""


@dataclass(frozen=True)
class RecallCertificate:
    """Measured recall of an index against exact search."""

    kind: str
    recall: float
    k: int
    queries: int
    probes: int


def build_index(
    vectors: FloatArray, rows: IntArray, queries: FloatArray, config: IndexConfig, *, k: int
) -> tuple[faiss.Index, RecallCertificate]:
    """Index the vectors (n, d) of the items that may be recommended, under their `rows` (n,).

    queries: (q, d) user vectors on which recall@k is measured. The number of probes is doubled
    until the recall reaches the target or everything is probed.
    """
    kind = config.kind
    if kind == "auto":
        kind = "exact" if len(rows) <= config.exact_up_to else "ivf"
    exact = exact_index(vectors, rows)
    if kind == "exact" or len(queries) == 0:
        return exact, RecallCertificate("exact", 1.0, k, len(queries), 0)
    lists = max(1, int(4 * math.sqrt(len(rows))))
    lists = min(lists, max(1, len(rows) // TRAINING_POINTS_PER_LIST))
    coarse = faiss.IndexFlatIP(vectors.shape[1])
    index = faiss.IndexIVFFlat(coarse, vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add_with_ids(vectors, rows)
    truth = exact.search(queries, k)[1]
    probes, recall = 0, 0.0
    while recall < config.target_recall and probes < lists:
        probes = min(lists, max(8, probes * 2))
        index.nprobe = probes
        recall = overlap(index.search(queries, k)[1], truth)
    return index, RecallCertificate("ivf", recall, k, len(queries), probes)


def exact_index(vectors: FloatArray, rows: IntArray) -> faiss.Index:
    """Exact search over vectors (n, d), under their rows (n,)."""
    exact = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
    exact.add_with_ids(vectors, rows)
    return exact


def overlap(found: IntArray, truth: IntArray) -> float:
    """Share of the true rows (q, k) that were found (q, k); -1 stands for none."""
    hits = sum(
        len(np.intersect1d(one[one >= 0], other[other >= 0]))
        for one, other in zip(found, truth, strict=True)
    )
    return hits / max(1, int((truth >= 0).sum()))


def search(index: faiss.Index, queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    """The k best rows for each query, by falling inner product, equal ones by row.

    Returns scores (q, k) and rows (q, k), -1 where the index has fewer than k items.
    """
    k = min(k, index.ntotal)
    scores, rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
    order = np.lexsort((rows, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def write_index(index: faiss.Index, path: Path) -> None:
    """Write to a file name; the caller renames."""
    faiss.write_index(index, str(path))


def read_index(path: Path) -> faiss.Index:
    """Read an index that this lake wrote."""
    return faiss.read_index(str(path))
