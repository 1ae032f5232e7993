"""Many small inverses at once: right, and the same whatever lies beside them."""

from __future__ import annotations

import numpy as np
import pytest

from pwrank.ranker.inverse_kernels import LANES, invert_each


def matrices(count: int, width: int) -> np.ndarray:
    """Sums of few products, as of users with few ratings, with a prior that differs by place."""
    few = np.random.default_rng(0).normal(size=(count, width, 3)) * 3.0
    return few @ few.transpose(0, 2, 1) + np.diag(np.geomspace(0.01, 100.0, width))


@pytest.mark.parametrize("count", [0, 1, LANES, LANES + 5])
@pytest.mark.parametrize("width", [1, 2, 17])
@pytest.mark.parametrize(("dtype", "near"), [(np.float64, 1e-9), (np.float32, 2e-3)])
def test_each_is_the_inverse_that_lapack_finds(count, width, dtype, near) -> None:
    found = matrices(count, width).astype(dtype)
    invert_each(found)
    assert found.dtype == dtype
    right = np.linalg.inv(matrices(count, width))
    scale = np.sqrt(np.einsum("naa,nbb->nab", right, right))
    assert np.abs(found - right).max(initial=0.0) <= near * scale.max(initial=1.0)


def test_no_bit_depends_on_what_lies_beside_a_matrix() -> None:
    together, apart = matrices(LANES + 5, 17), matrices(LANES + 5, 17)
    invert_each(together)
    for row in range(len(apart)):
        invert_each(apart[row : row + 1])
    assert np.array_equal(together, apart)
