"""Lists filled rank by rank: the cap on categories holds for what is explored, too."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pwrank.lists.exploration import EXPLORED_TOGETHER
from pwrank.lists.rank_by_rank import NO_CATEGORY, Cap, fill_ranks, number_categories
from pwrank.lists.reranking import by_score

ITEMS = 40


@st.composite
def nights(draw):
    """Arguments of `fill_ranks` for three users, with gaps and with fewer items than ranks."""
    width = draw(st.integers(1, ITEMS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    candidates = np.stack([rng.permutation(ITEMS)[:width] for _ in range(3)]).astype(np.int64)
    candidates[rng.random(candidates.shape) < draw(st.sampled_from([0, 0.3]))] = -1
    score = rng.choice(np.linspace(0, 1, 9), (2, *candidates.shape)).astype(np.float32)
    best, order = by_score(score[0], candidates), by_score(score[1], candidates)
    rare = rng.random(ITEMS) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    shares = rng.choice([0.0, 0.05, 0.15, 0.4, 1.0], 3)
    untouched = draw(st.integers(0, width))
    category = rng.integers(NO_CATEGORY, draw(st.integers(0, 6)), ITEMS)
    cap = Cap(category, draw(st.integers(0, 4)), draw(st.integers(1, 30)))
    return best, order, candidates, untouched, rare, shares, cap, draw(st.integers(1, ITEMS))


def plainly_filled(best, order, items, *, untouched, rare, share, cap, k):
    """One user's ranks as they are defined: each looks at everything above it."""
    places, explored, most = [], [], cap.most
    length = min(k, int((items >= 0).sum()))
    turn = int(int(EXPLORED_TOGETHER * share + 1e-9) == 1)
    for rank in range(length):
        start = rank // EXPLORED_TOGETHER * EXPLORED_TOGETHER
        end = min(start + EXPLORED_TOGETHER, length)
        kept = int(end * share + 1e-9) - int(start * share + 1e-9)
        above = Counter(cap.category[items[place]] for place in places)
        place = None
        while place is None:

            def fits(place, most=most, rank=rank, above=above):
                own = cap.category[items[place]]
                capped = cap.most and rank < cap.window and own != NO_CATEGORY
                there = items[place] >= 0 and place not in places
                return there and not (capped and above[own] >= most)

            new = [p for p in range(len(items) - untouched, len(items)) if fits(p)]
            seldom = [p for p in best if fits(p) and rare[items[p]]]
            turns = (seldom + new) if turn % 2 else (new[:1] + seldom)
            found = turns if rank >= end - kept else []
            place = next(iter(found + [p for p in order if fits(p)]), None)
            most += place is None
        explored.append(bool(found))
        turn += rank >= end - kept
        places.append(place)
    rest = [place for place in order if place not in places]
    return (places + rest)[:k], (explored + [False] * len(rest))[:k]


@settings(deadline=None, max_examples=400)
@given(nights())
def test_ranks_are_filled_as_it_is_defined(night):
    best, order, items, untouched, rare, shares, cap, k = night
    places, explored = fill_ranks(*night)
    for user in range(3):
        told = plainly_filled(
            *(rows[user] for rows in (best, order, items)),
            untouched=untouched,
            rare=rare,
            share=shares[user],
            cap=cap,
            k=k,
        )
        assert (places[user].tolist(), explored[user].tolist()) == told


@settings(deadline=None, max_examples=200)
@given(nights(), st.integers(1, 4))
def test_no_category_exceeds_its_cap_where_others_can_take_its_place(night, most):
    *_, candidates, _, _, _, cap, k = night
    cap = cap._replace(most=most)
    places, _ = fill_ranks(*night[:-2], cap, k)
    for mine, offered in zip(places, candidates, strict=True):
        supply = Counter(cap.category[offered[offered >= 0]])
        possible = sum(n if c == NO_CATEGORY else min(n, most) for c, n in supply.items())
        first = offered[mine[: min(cap.window, possible)]]
        counts = Counter(cap.category[first[first >= 0]])
        assert all(n <= most for c, n in counts.items() if c != NO_CATEGORY)


def listed(most, shares, *, rare=(), categories="aaaabbbbcccc", window=20, k=12):
    """Items of one list, of 0, 1, … in the order of their scores, and what is explored."""
    category = number_categories(pl.Series(list(categories)))
    order = np.arange(len(category), dtype=np.int64)[None]
    is_rare = np.isin(order[0], rare)
    cap = Cap(category, most, window)
    places, explored = fill_ranks(order, order, order, 0, is_rare, np.array([shares]), cap, k)
    return places[0].tolist(), np.flatnonzero(explored[0]).tolist()


def test_what_exceeds_the_cap_follows_in_rounds_of_one_more_of_each():
    assert listed(1, 0.0)[0] == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert listed(2, 0.0)[0] == [0, 1, 4, 5, 8, 9, 2, 6, 10, 3, 7, 11]


def test_behind_its_window_the_cap_ends():
    assert listed(1, 0.0, window=4)[0] == [0, 4, 8, 1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_what_has_no_category_is_never_capped():
    categories = ["", "", "a", "a", "", "b"]
    assert listed(1, 0.0, categories=categories, k=6)[0] == [0, 1, 2, 4, 5, 3]


def test_an_explored_item_whose_category_is_full_gives_its_rank_to_the_next():
    assert listed(0, 0.5, rare=[3], k=4) == ([0, 1, 3, 2], [2]), "without a cap"
    assert listed(2, 0.5, rare=[3, 8], k=4) == ([0, 1, 8, 4], [2]), "3 is a third of its category"
    assert listed(2, 0.5, rare=[3], k=4) == ([0, 1, 4, 5], [])


def test_categories_are_numbered_by_the_whole_string():
    assert number_categories(pl.Series(["b", "", "a", "a|b", "b"])).tolist() == [2, -1, 0, 1, 2]
    assert number_categories(pl.Series(["", ""])).tolist() == [NO_CATEGORY] * 2
