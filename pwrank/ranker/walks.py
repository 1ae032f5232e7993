"""How often a random walk goes from an item over a user who took it to another: RP3beta.

EASE explains an item by all others at once; a walk asks each item of the history alone, and where
histories are short or items rare it often knows better. The point-wise ranker reads both.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pwrank.ranker.cooccurrence import users_of_each
from pwrank.ranker.history import FloatArray

PER_CENT = np.float32(100.0)

BLOCK = 256
"""Items whose walks are followed together."""


def walk_weights(interactions: sparse.csr_matrix, pairs: sparse.csr_matrix) -> FloatArray:
    """(k,) float32 of the k entries of `pairs` (n, n): of a walk from the row to the column.

    In per cent, P(i -> user -> j) / sqrt(users of j): RP3beta with alpha 1 and beta 1/2 (Paudel,
    Christoffel, Newell and Bernstein, ACM TiiS 2016). interactions: (users, n) of ones. Memory:
    BLOCK * n * 12 bytes at most, and a copy of the interactions.
    """
    count = np.maximum(users_of_each(interactions), 1.0)
    share = 1.0 / np.maximum(np.diff(interactions.indptr), 1).astype(np.float32)
    steps = sparse.csr_matrix(sparse.diags_array(share) @ interactions)
    takers = interactions.tocsc()
    weights = np.empty(pairs.nnz, np.float32)
    for first in range(0, pairs.shape[0], BLOCK):
        last = min(first + BLOCK, pairs.shape[0])
        here = slice(pairs.indptr[first], pairs.indptr[last])
        if here.start == here.stop:
            continue
        reached = (takers[:, first:last].T @ steps).toarray()
        row = np.repeat(np.arange(last - first), np.diff(pairs.indptr[first : last + 1]))
        column = pairs.indices[here]
        chance = reached[row, column] / count[first + row]
        weights[here] = PER_CENT * chance / np.sqrt(count[column])
    return weights
