"""Retrieval: the nearest items, ties by row, approximate only where it is good enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pwrank.lists.exact_search import Excluded, search_exactly
from pwrank.lists.retrieval import in_blocks, overlap, read_index, write_index
from tests.library.item_vectors import DIM, index_of, pool_of, vectors


def exact_rows(pool, queries, width, excluded=()):
    found = []
    for block, users in in_blocks(queries):
        found.append(np.full((users, width), -1, np.int64))
        search_exactly(pool, block, excluded, found[-1])
    return np.concatenate(found)


@given(st.integers(1, 300), st.integers(1, 320), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_exact_search_finds_the_largest_inner_products_and_of_equal_ones_the_first(
    size, width, levels, seed
):
    rng = np.random.default_rng(seed)
    items = rng.integers(0, levels, (size, DIM)).astype(np.float32)
    queries = rng.integers(0, levels, (70, DIM)).astype(np.float32)
    found = exact_rows(pool_of(items), queries, width)
    best = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :width]
    assert (found[:, : best.shape[1]] == np.sort(best, axis=1)).all()
    assert (found[:, best.shape[1] :] == -1).all()


def test_exact_search_strikes_out_what_a_user_may_not_get():
    items, queries = vectors(300), vectors(3, seed=1)
    struck = Excluded(np.array([0, 2, 2, 5]), np.array([7, 8, -1, 299, 8], np.int64))
    found = exact_rows(pool_of(items), queries, 297, (struck,))
    assert set(range(300)) - set(found[0]) >= {7, 8}
    assert {7, 8} <= set(found[1])
    assert set(range(300)) - set(found[2]) >= {299, 8}


def test_a_pool_answers_with_rows_of_the_catalogue():
    pool = pool_of(vectors(12), np.array([2, 5, 11], np.int64))
    struck = Excluded(np.array([0, 1, 1]), np.array([5], np.int64))
    found = exact_rows(pool, vectors(2, seed=1), 3, (struck,))
    assert found.tolist() == [[2, 11, -1], [2, 5, 11]]


def test_a_large_pool_is_searched_for_fewer_users_at_once(monkeypatch):
    pool, queries = pool_of(vectors(500)), vectors(100, seed=1)
    before = exact_rows(pool, queries, 10)
    monkeypatch.setattr("pwrank.lists.exact_search.CELLS_AT_ONCE", 500 * 16)
    assert (exact_rows(pool, queries, 10) == before).all()


@pytest.mark.parametrize("target", [0.5, 0.9, 1.0])
def test_the_approximate_index_is_probed_until_it_meets_its_target_recall(target):
    items, queries = vectors(4000), vectors(64, seed=1)
    index, certificate = index_of(items, queries=queries, kind="ivf", target_recall=target)
    found = index.search(torch.from_numpy(queries), np.arange(64), 10)
    exact = np.argsort(-(queries @ items.T), axis=1)[:, :10]
    assert certificate.kind == "ivf"
    assert certificate.recall >= target
    assert overlap(found, exact) == pytest.approx(certificate.recall, abs=0.01)


def test_a_lax_target_probes_less_than_a_strict_one():
    probes = [
        index_of(vectors(4000), kind="ivf", target_recall=target)[1].probes for target in (0.3, 1.0)
    ]
    assert probes[0] < probes[1]


def test_auto_is_exact_up_to_the_configured_size():
    assert index_of(vectors(100), exact_up_to=100)[0] is None
    assert index_of(vectors(100), exact_up_to=100)[1].kind == "exact"
    assert index_of(vectors(101), exact_up_to=100)[1].kind == "ivf"


def test_an_approximate_answer_depends_on_no_other_user():
    queries = torch.from_numpy(vectors(64, seed=1))
    index, _ = index_of(vectors(4000), kind="ivf", target_recall=0.5)
    together = index.search(queries, np.arange(64), 10)
    others = torch.from_numpy(vectors(64, seed=2))
    others[3] = queries[40]
    assert (index.search(others, np.array([3]), 10)[0] == together[40]).all()


def test_an_index_comes_back_from_disk_the_same(tmp_path):
    index, certificate = index_of(vectors(2000), kind="ivf")
    write_index(index, tmp_path / "items.faiss")
    again = read_index(tmp_path / "items.faiss", certificate.probes)
    queries, users = torch.from_numpy(vectors(64, seed=1)), np.arange(64)
    assert (again.search(queries, users, 10) == index.search(queries, users, 10)).all()
