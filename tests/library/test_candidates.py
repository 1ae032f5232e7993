"""Candidates: nearest and seen, by co-occurrence, filled up, and those kept to be explored."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pwrank.config import RerankConfig, ScoreConfig
from pwrank.lists import exploration
from pwrank.lists.candidates import find_candidates
from pwrank.lists.cooccurring import COOCCURRING
from pwrank.lists.exact_search import make_pool
from pwrank.lists.exploration import Explorable, explorable
from pwrank.lists.retrieval import in_blocks
from pwrank.ranker.cooccurrence import Cooccurrence
from pwrank.ranker.history import group_by_user
from pwrank.ranker.pair_features import history_text
from tests.library.item_vectors import index_of, pool_of, vectors

OFF = RerankConfig()


def speaking_for(num_items, weights):
    """Co-occurrence weights {(item, item it speaks for): weight}."""
    pairs = sorted(weights)
    lengths = np.bincount([one for one, _ in pairs], minlength=num_items).astype(np.int64)
    return Cooccurrence(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item=np.array([other for _, other in pairs], np.int64),
        weight=np.array([weights[pair] for pair in pairs], np.float32),
        walk=np.zeros(len(pairs), np.float32),
    )


def world(item_vectors, seen, *, kind="exact", probes=None, together=None):
    """Items and users (lists of seen rows, -1 = unknown item), as scoring has them."""
    index, _ = index_of(item_vectors, kind=kind)
    if probes:
        index.index.nprobe = probes
    user = np.repeat(np.arange(len(seen)), [len(items) for items in seen]).astype(np.int64)
    item = np.array([row for items in seen for row in items], np.int64)
    histories = group_by_user(user, item, np.zeros(len(user), np.int64), num_users=len(seen))
    (block, _) = next(in_blocks(vectors(len(seen), seed=1)))
    users = SimpleNamespace(retrieval=block, histories=histories.filled_up(len(block)))
    items = SimpleNamespace(
        pool=pool_of(item_vectors),
        table=SimpleNamespace(cooccurrence=speaking_for(len(item_vectors), together or {})),
        approximate=index,
        catalogue=SimpleNamespace(num_items=len(item_vectors)),
        by_popularity=np.arange(len(item_vectors), dtype=np.int64),
    )
    return users, items


def candidates_of(users, count, items, rules=OFF, explorable=None, **settings):
    """Of the first `count` users; the rest of the block gets nothing."""
    score = ScoreConfig(**settings)
    found = find_candidates(users, count, items, score, rules, explorable=explorable)
    assert (found.rows[count:] == -1).all()
    assert not found.filled[count:].any()
    return found


@pytest.mark.parametrize("kind", ["exact", "ivf"])
def test_seen_items_never_come_back_and_nobody_is_short_of_others(kind):
    seen = [[], [0, 1, 2], list(range(70)), [-1, 5, 5, 5], list(range(95))]
    users, items = world(vectors(100), seen, kind=kind)
    found = candidates_of(users, 5, items, k=5, candidates=10)
    for user, history in enumerate(seen):
        mine = found.rows[user][found.rows[user] >= 0]
        assert not set(mine) & set(history)
        assert len(set(mine)) == len(mine) == min(10, 100 - len(set(history) - {-1}))
        assert (np.diff(mine) > 0).all()
    assert not found.filled.any()


def test_a_user_who_has_seen_everything_gets_nothing():
    users, items = world(vectors(6), [list(range(6))])
    assert (candidates_of(users, 1, items, k=5, candidates=5).rows == -1).all()


def test_seen_items_may_come_back_where_that_is_configured():
    users, items = world(vectors(6), [list(range(6))])
    found = candidates_of(users, 1, items, k=6, candidates=6, exclude_seen=False)
    assert sorted(found.rows[0]) == list(range(6))


def test_what_a_narrow_index_misses_is_filled_with_popular_items_and_marked():
    users, items = world(vectors(2000), [[0, 1], []], kind="ivf", probes=1)
    found = candidates_of(users, 2, items, k=400, candidates=400)
    assert found.filled.any()
    for user, seen in enumerate(({0, 1}, set())):
        mine = found.rows[user][found.rows[user] >= 0]
        assert len(set(mine)) == len(mine) == 400
        assert not set(mine) & seen
        filled = found.rows[user][found.filled[user]]
        assert (np.diff(filled) > 0).all()


@pytest.fixture
def explored_world():
    """Two users and 2,000 items: 0 to 8 are rare, 9 to 39 untouched, and the text of each."""
    seen = [[100, 101, 102], []]
    users, items = world(vectors(2000), seen)
    history = torch.zeros(len(users.retrieval), 3, dtype=torch.int64)
    history[0] = torch.tensor(seen[0])
    users.batch = SimpleNamespace(item=history, mask=history > 0)
    text = torch.from_numpy(np.abs(vectors(2000, seed=7)))
    users.text = history_text(users.batch, text)
    items.table.text = text
    rare, untouched = np.arange(40), np.arange(9, 40)
    world_of = Explorable(
        make_pool(text, untouched), pool_of(vectors(2000), rare), np.arange(2000) < 40, 0.1, 1.0
    )
    return users, items, world_of, seen


def test_the_exploration_dial_adds_rare_items_that_are_neither_seen_nor_there(explored_world):
    users, items, explorable, seen = explored_world
    rules = RerankConfig(explore=0.4)
    found = candidates_of(users, 2, items, rules, explorable, k=10, candidates=20)
    for user, history in enumerate(seen):
        mine = found.rows[user][found.rows[user] >= 0].tolist()
        assert len(set(mine)) == len(mine)
        assert not set(mine) & set(history)
        assert len(set(mine) & set(range(40))) >= 4


def test_untouched_items_stand_last_those_most_like_the_history_first(explored_world):
    users, items, explorable, seen = explored_world
    rules = RerankConfig(explore=0.4)
    found = candidates_of(users, 2, items, rules, explorable, k=10, candidates=20)
    text = items.table.text.numpy()
    history = text[seen[0]].sum(axis=0)
    wanted = 9 + np.argsort(-(text[9:40] @ history), kind="stable")[:4]
    assert found.untouched == 4
    assert found.rows[0, -4:].tolist() == wanted.tolist()
    assert not set(found.rows[0, :-4]) & set(wanted)
    assert (found.rows[1, -4:] == -1).all(), "nothing reads like no history"


def test_without_exploration_nothing_is_added(explored_world):
    users, items, _, _ = explored_world
    found = candidates_of(users, 2, items, k=10, candidates=20)
    assert found.untouched == found.added == 0
    assert (found.rows[:2, :20] >= 0).all()
    assert (found.rows[:, 20:] == -1).all()


def test_what_may_be_explored_is_available_and_has_a_text():
    text = torch.from_numpy(vectors(8))
    text[3] = 0.0
    items = SimpleNamespace(
        pool=pool_of(vectors(8), np.array([1, 2, 3, 4, 5])),
        interactions=np.array([0, 0, 5, 0, 6, 0, 0, 0]),
        by_popularity=np.array([5, 4, 3, 2, 1]),
        table=SimpleNamespace(text=text, retrieval=text),
    )
    found = explorable(items, 5)
    assert found.untouched.rows.tolist() == [1, 5]
    assert found.rare.rows.tolist() == [1, 2, 3, 5]
    assert found.is_rare.tolist() == [True] * 4 + [False] + [True] * 3
    assert found.appetite == 5 / 11


def test_of_very_many_untouched_items_the_most_promising_are_compared(monkeypatch):
    monkeypatch.setattr(exploration, "MOST_UNTOUCHED", 2)
    items = SimpleNamespace(
        pool=pool_of(vectors(6)),
        interactions=np.array([0, 0, 0, 0, 3, 0]),
        by_popularity=np.array([4, 5, 1, 0, 2, 3]),
        table=SimpleNamespace(text=torch.ones(6, 3), retrieval=torch.ones(6, 3)),
    )
    assert explorable(items, 0).untouched.rows.tolist() == [1, 5]


def reference_of(users, user, items, weights, barred):
    """Items by falling sum of weights, those not positive and the barred left out."""
    mine = users.histories.item[users.histories.offsets[user] : users.histories.offsets[user + 1]]
    sums = np.zeros(items)
    for (one, other), weight in weights.items():
        sums[other] += np.float32(weight) * (one in mine)
    best = [row for row in np.argsort(-sums, kind="stable") if sums[row] > 0 and row not in barred]
    return best[:COOCCURRING]


@pytest.mark.parametrize("kind", ["exact", "ivf"])
@pytest.mark.parametrize("repeats", [False, True])
def test_what_the_history_speaks_for_most_is_found_beside_the_nearest(kind, repeats):
    rng = np.random.default_rng(3)
    weights = {
        (int(one), int(other)): float(rng.integers(-2, 6))
        for one, other in rng.integers(0, 300, (6000, 2))
    }
    seen = [[], [0, 1, 2, 2], list(range(40)), [299]]
    users, items = world(vectors(300), seen, kind=kind, together=weights)
    settings = {"k": 5, "candidates": 20, "exclude_seen": not repeats}
    found = candidates_of(users, 4, items, **settings).rows
    assert found.shape[1] == 20 + COOCCURRING
    for user, history in enumerate(seen):
        near, beside = found[user, :20], found[user, 20:]
        barred = set(near) | (set() if repeats else set(history))
        expected = reference_of(users, user, 300, weights, barred)
        assert sorted(expected) == list(beside[beside >= 0])
    assert (found[0, 20:] == -1).all()
    assert (found[2, 20:] >= 0).all()


def test_only_what_may_be_ranked_is_found_beside_and_nothing_where_all_is_near():
    weights = {(0, other): 1.0 + other for other in range(1, 40)}
    users, items = world(vectors(40), [[0]], together=weights)
    items.pool = pool_of(vectors(40), np.arange(30))
    found = candidates_of(users, 1, items, k=5, candidates=10).rows[0]
    assert set(found[found >= 0]) == set(range(1, 30))
    everything = candidates_of(users, 1, items, k=5, candidates=100).rows
    assert everything.shape[1] == 30


def test_where_all_is_near_enough_nothing_is_found_beside_though_the_index_misses_some():
    weights = {(0, other): 1.0 + other for other in range(1, 300)}
    users, items = world(vectors(300), [[0]], kind="ivf", probes=1, together=weights)
    found = candidates_of(users, 1, items, k=5, candidates=300).rows[0]
    assert len(found) == 300
    assert (found < 0).any()
    near = found[found >= 0]
    assert len(set(near)) == len(near)
