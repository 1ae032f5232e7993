"""Candidates that the point-wise ranker learns from."""

import pytest
import torch

from pwrank.ranker.proposals import _rising


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
