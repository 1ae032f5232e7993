"""Candidates that the point-wise ranker learns from."""

import numpy as np
import pytest
import torch

from pwrank.config import TrainConfig
from pwrank.ranker.fitting import build_ranker
from pwrank.ranker.popularity import item_activity
from pwrank.ranker.proposals import _in_turn, _rising, propose
from tests.library.worlds import DAY, two_tastes


@pytest.fixture(scope="module")
def views():
    """Users and items of an untrained ranker, and what each user has had."""
    histories, catalogue = two_tastes()
    ranker = build_ranker(histories, catalogue, TrainConfig(dim=16, layers=1), seed=1)
    activity = item_activity(histories, catalogue.num_items)
    items = ranker.item_table(catalogue, activity.features(60 * DAY))
    users = ranker.user_table(histories, items)
    excluded = torch.zeros(histories.num_users, catalogue.num_items, dtype=torch.bool)
    excluded[torch.from_numpy(histories.user), torch.from_numpy(histories.item)] = True
    return users, items, excluded


def some_by_chance(views, depth, seed):
    return propose(*views, depth=depth, rng=np.random.default_rng(seed))


def test_the_last_sixth_of_the_candidates_comes_by_chance_from_what_is_behind(views):
    first, again, other = (some_by_chance(views, 6, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first[:, :5], other[:, :5])
    assert not torch.equal(first[:, 5], other[:, 5])
    # Drawn from the first 24: more of them than the sixth best alone, and none of the best five.
    places = _in_turn(*views, depth=24, repeats=False)
    best, drawn = places.gather(1, first[:, :5]), places.gather(1, first[:, 5:])
    assert (drawn >= best.max(dim=1, keepdim=True).values).all()
    unlike = first[:, 5] != propose(*views, depth=6)[:, 5]
    assert unlike.float().mean() > 0.5


@pytest.mark.parametrize("depth", [1, 2, 6, 12, 20, 39, 40, 100])
def test_candidates_by_chance_are_as_many_none_twice_and_none_that_the_user_has_had(views, depth):
    excluded = views[2]
    candidates = some_by_chance(views, depth, 1)
    assert candidates.shape == (len(excluded), min(depth, excluded.shape[1]))
    for row, items in enumerate(candidates.tolist()):
        assert len(set(items)) == len(items)
        had = sum(excluded[row, items].tolist())
        left = int((~excluded[row]).sum())
        assert had == max(len(items) - left, 0)


@pytest.mark.parametrize(("items", "depth"), [(50, 20), (10, 10), (500, 300)])
def test_what_rises_has_the_place_that_each_user_would_see_it_at(items, depth):
    column = torch.randperm(items, generator=torch.Generator().manual_seed(1)).float()
    excluded = torch.rand(7, items, generator=torch.Generator().manual_seed(2)) < 0.3
    excluded[0], excluded[1] = True, False
    order, among = _rising(column, excluded, depth)
    told = torch.full(excluded.shape, depth).scatter_reduce_(1, order, among, "amin")
    for row in range(len(excluded)):
        mine = [i for i in column.argsort(descending=True).tolist() if not excluded[row, i]]
        places = {item: min(place, depth) for place, item in enumerate(mine)}
        assert {item: int(told[row, item]) for item in mine} == places
