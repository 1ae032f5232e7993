"""Walks from item to item: RP3beta, of the pairs that have a weight."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from pwrank.ranker import walks
from pwrank.ranker.walks import walk_weights


@pytest.mark.parametrize("block", [3, 256])
def test_a_walk_is_a_step_to_a_user_and_one_to_an_item_and_counts_less_to_a_popular_one(
    block, monkeypatch
):
    monkeypatch.setattr(walks, "BLOCK", block)
    rng = np.random.default_rng(0)
    taken = (rng.random((40, 11)) < rng.random(11)).astype(np.float32)
    taken[:, 4] = 0
    taken[7] = 0
    pairs = sparse.csr_matrix(rng.random((11, 11)) < 0.4).astype(np.float32)
    found = walk_weights(sparse.csr_matrix(taken), pairs)
    row, column = pairs.nonzero()
    for one, other, weight in zip(row, column, found, strict=True):
        takers = np.flatnonzero(taken[:, one])
        # A taker at random, and then one of his items at random.
        chance = sum(taken[user, other] / taken[user].sum() for user in takers) / max(
            len(takers), 1
        )
        expected = 100 * chance / np.sqrt(max(taken[:, other].sum(), 1))
        assert weight == pytest.approx(expected, rel=1e-5)
    assert found.any()
