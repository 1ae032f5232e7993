"""Ranks are kept for rare items as far as a user has taken such."""

import numpy as np
import torch

from pwrank.lists.exact_search import make_pool
from pwrank.lists.exploration import LEAST_OF_DIAL, Explorable, explored_shares
from pwrank.lists.rank_by_rank import Cap, fill_ranks
from pwrank.ranker.history import Histories

DIAL, MOST = 0.15, 5
INTERACTIONS = np.array([400, 300, 200, 3, 2, 0], np.int64)
"""Of six items; three are rare."""
NO_CAP = Cap(np.zeros(0, np.int64), 0, 0)


def tonight(interactions: np.ndarray) -> Explorable:
    """What few have touched, told by a count of interactions an item."""
    rare, nothing = interactions <= MOST, make_pool(torch.zeros(0, 1), np.zeros(0, np.int64))
    share = interactions[rare].sum() / interactions.sum()
    return Explorable(nothing, nothing, rare, float(share), float(rare.mean()))


def histories(*items: list[int], first: int = 1) -> Histories:
    """One history of items a user; -1 is an item that the catalogue lacks. first: unix seconds."""
    offsets = np.cumsum([0, *(len(each) for each in items)]).astype(np.int64)
    item = np.array([i for each in items for i in each], np.int64)
    size = len(item)
    return Histories(
        offsets=offsets,
        item=item,
        timestamp=np.arange(size, dtype=np.int64) + first,
        event=np.zeros(size, np.int16),
        rating=np.full(size, np.nan, np.float32),
        weight=np.ones(size, np.float32),
    )


def test_who_takes_what_is_rare_has_the_whole_dial_and_who_does_not_a_third():
    """By hand: nobody's, a mainstream, a niche and an in-between history."""
    log = histories([], [0, 1] * 20, [3, 4] * 5, [0] * 18 + [3])
    shares = explored_shares(log, tonight(INTERACTIONS), DIAL)
    everybody = 5 / 905
    between = 2.0 * (1 + 10 * everybody) / (19 + 10) / 0.15
    expected = [LEAST_OF_DIAL, LEAST_OF_DIAL, 1.0, between]
    np.testing.assert_allclose(shares, DIAL * np.array(expected), rtol=1e-5)
    assert LEAST_OF_DIAL < between < 1


def test_a_log_of_rare_items_gives_everybody_the_whole_dial():
    """An appetite is shrunk towards everybody's, so a newcomer has that of the catalogue."""
    shares = explored_shares(histories([], [3]), tonight(np.array([0, 1, 2, 3])), DIAL)
    np.testing.assert_allclose(shares, DIAL, rtol=1e-6)


def test_without_times_everybody_who_has_a_history_gets_a_third():
    """What is rare in such a log may be old; times that are not known lie before 1970."""
    timeless = histories([], [3, 4] * 5, [0, 1], first=-20)
    shares = explored_shares(timeless, tonight(np.array([9, 9, 9, 3, 2, 0])), DIAL)
    np.testing.assert_allclose(shares, DIAL * np.array([1, LEAST_OF_DIAL, LEAST_OF_DIAL]))


def test_the_few_rare_items_of_a_catalogue_do_not_go_to_everybody():
    """Two of a thousand: each gets three times the ranks of an average item, and no more."""
    few = tonight(np.array([5, 0] + [900] * 998, np.int64))
    shares = explored_shares(histories([], [0] * 20, [2, 3]), few, DIAL)
    np.testing.assert_allclose(shares, 3 * 2 / 1000)
    users, ranks = 500, 100
    assert shares[0] * users * ranks / 2 == 3 * users * ranks / 1000


def test_items_that_the_catalogue_lacks_say_nothing():
    """Neither of what is rare nor of how much was taken."""
    known, more = (histories(h) for h in ([0, 3], [0, -1, 3, -1, -1]))
    both = [explored_shares(h, tonight(INTERACTIONS), DIAL) for h in (known, more)]
    np.testing.assert_array_equal(*both)


def test_each_user_has_as_many_ranks_as_the_own_share_says():
    """Of forty ranks, six, two and none are explored."""
    size, k = 60, 40
    order = np.tile(np.arange(size, dtype=np.int64), (3, 1))
    rare = np.arange(size) >= k
    shares = np.array([DIAL, DIAL * LEAST_OF_DIAL, 0.0])
    places, explored = fill_ranks(order, order, order, 0, rare, shares, NO_CAP, k)
    assert explored.sum(axis=1).tolist() == [6, 2, 0]
    assert not explored[:, :17].any()
    assert all(len(np.unique(row)) == k for row in places)


def test_a_single_rank_goes_to_a_touched_item_first():
    """Of twenty ranks one is kept: not for the likeliest untouched item, but for a rare one."""
    size, k, untouched = 30, 20, 5
    order = np.arange(size, dtype=np.int64)[None]
    rare = np.arange(size) >= k
    share = np.array([DIAL * LEAST_OF_DIAL])
    places, explored = fill_ranks(order, order, order, untouched, rare, share, NO_CAP, k)
    assert np.flatnonzero(explored[0]).tolist() == [19]
    assert places[0, 19] == k
