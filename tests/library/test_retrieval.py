"""Retrieval: the nearest items, ties by row, approximate only where it is good enough."""

from __future__ import annotations

from types import SimpleNamespace

import faiss
import numpy as np
import pytest
import torch

from pwrank.config import IndexConfig, RerankConfig, ScoreConfig
from pwrank.lists.candidates import find_candidates
from pwrank.lists.retrieval import build_index, overlap, read_index, search, write_index
from pwrank.ranker.history import group_by_user

DIM = 8


def vectors(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, DIM)).astype(np.float32)


def index_of(items, rows=None, queries=None, k=10, **settings):
    rows = np.arange(len(items), dtype=np.int64) if rows is None else rows
    queries = vectors(20, seed=1) if queries is None else queries
    return build_index(items, rows, queries, IndexConfig(**settings), k=k)


def test_search_gives_the_largest_inner_products_in_order():
    items, queries = vectors(300), vectors(30, seed=1)
    index, certificate = index_of(items)
    scores, rows = search(index, queries, 10)
    expected = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :10]
    assert (rows == expected).all()
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (certificate.kind, certificate.recall) == ("exact", 1.0)


def test_equal_items_come_by_row():
    items = np.repeat(vectors(3), 4, axis=0)
    _, rows = search(index_of(items)[0], vectors(5, seed=1), 12)
    assert all((np.diff(row.reshape(3, 4)) > 0).all() for row in rows)


def test_asking_for_more_than_there_is_gives_all_there_is():
    index, _ = index_of(vectors(3))
    scores, rows = search(index, vectors(2, seed=1), 10)
    assert rows.shape == scores.shape == (2, 3)


def test_rows_are_those_of_the_catalogue_and_not_of_the_index():
    offered = np.array([2, 5, 11], np.int64)
    _, rows = search(index_of(vectors(3), offered)[0], vectors(4, seed=1), 3)
    assert set(rows.ravel()) == {2, 5, 11}


@pytest.mark.parametrize("target", [0.5, 0.9, 1.0])
def test_the_approximate_index_is_probed_until_it_meets_its_target_recall(target):
    items, queries = vectors(4000), vectors(64, seed=1)
    index, certificate = index_of(items, queries=queries, kind="ivf", target_recall=target)
    found = search(index, queries, 10)[1]
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
    assert index_of(vectors(100), exact_up_to=100)[1].kind == "exact"
    assert index_of(vectors(101), exact_up_to=100)[1].kind == "ivf"


def test_an_index_comes_back_from_disk_the_same(tmp_path):
    index, _ = index_of(vectors(200))
    write_index(index, tmp_path / "items.faiss")
    queries = vectors(5, seed=1)
    again = search(read_index(tmp_path / "items.faiss"), queries, 10)
    assert (again[1] == search(index, queries, 10)[1]).all()


OFF = RerankConfig()


def world(item_vectors, seen, *, probes=None):
    """Items and users (lists of seen rows, -1 = unknown item), as scoring has them."""
    index, _ = index_of(item_vectors, kind="ivf" if probes else "auto")
    if probes:
        faiss.extract_index_ivf(index).nprobe = probes
    user = np.repeat(np.arange(len(seen)), [len(items) for items in seen]).astype(np.int64)
    item = np.array([row for items in seen for row in items], np.int64)
    histories = group_by_user(user, item, np.zeros(len(user), np.int64), num_users=len(seen))
    items = SimpleNamespace(
        index=index,
        catalogue=SimpleNamespace(num_items=len(item_vectors)),
        by_popularity=np.arange(len(item_vectors), dtype=np.int64),
        table=SimpleNamespace(retrieval=torch.from_numpy(item_vectors)),
        rarely_touched=lambda most: np.arange(most, dtype=np.int64),
    )
    return histories, items


def test_seen_items_never_come_back_and_nobody_is_short_of_others():
    seen = [[], [0, 1, 2], list(range(70)), [-1, 5, 5, 5], list(range(95))]
    histories, items = world(vectors(100), seen)
    found = find_candidates(
        vectors(5, seed=1), histories, items, ScoreConfig(k=5, candidates=10), OFF
    )
    for user, history in enumerate(seen):
        mine = found.rows[user][found.rows[user] >= 0]
        assert not set(mine) & set(history)
        assert len(set(mine)) == len(mine) == min(10, 100 - len(set(history) - {-1}))
    assert not found.filled.any()


def test_a_user_who_has_seen_everything_gets_nothing():
    histories, items = world(vectors(6), [list(range(6))])
    found = find_candidates(
        vectors(1, seed=1), histories, items, ScoreConfig(k=5, candidates=5), OFF
    )
    assert (found.rows == -1).all()


def test_seen_items_may_come_back_where_that_is_configured():
    histories, items = world(vectors(6), [list(range(6))])
    settings = ScoreConfig(k=6, candidates=6, exclude_seen=False)
    found = find_candidates(vectors(1, seed=1), histories, items, settings, OFF)
    assert sorted(found.rows[0]) == list(range(6))


def test_what_a_narrow_index_misses_is_filled_with_popular_items_and_marked():
    histories, items = world(vectors(2000), [[0, 1], []], probes=1)
    settings = ScoreConfig(k=400, candidates=400)
    found = find_candidates(vectors(2, seed=1), histories, items, settings, OFF)
    assert found.filled.any()
    for user, seen in enumerate(({0, 1}, set())):
        assert len(set(found.rows[user])) == 400
        assert not set(found.rows[user]) & (seen | {-1})
        filled = found.rows[user][found.filled[user]]
        assert (np.diff(filled) > 0).all()


def test_the_exploration_dial_adds_rarely_touched_items_that_are_neither_seen_nor_there():
    seen = [[0, 1, 2], []]
    histories, items = world(vectors(2000), seen)
    rules = RerankConfig(explore=0.4, explore_below=9)
    found = find_candidates(
        vectors(2, seed=1), histories, items, ScoreConfig(k=10, candidates=20), rules
    )
    for user, history in enumerate(seen):
        mine = found.rows[user][found.rows[user] >= 0].tolist()
        assert len(set(mine)) == len(mine)
        assert not set(mine) & set(history)
        assert len(set(mine) & set(range(9))) >= 4
