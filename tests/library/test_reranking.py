"""Re-ranking: every rule only reorders, and does what its dial says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pwrank.config import RerankConfig
from pwrank.lists import reranking
from pwrank.lists.rank_by_rank import NO_CATEGORY, number_categories
from pwrank.lists.reranking import ItemFacts, by_score

ITEMS = 40
NONE = np.full(100, NO_CATEGORY)
"""Categories of items that have none."""


def facts(categories=4, seed=0) -> ItemFacts:
    rng = np.random.default_rng(seed)
    text = rng.normal(size=(ITEMS, 6)).astype(np.float32)
    names = pl.Series([f"c{n % categories}" if n % 7 else "" for n in range(ITEMS)])
    return ItemFacts(
        number_categories(names),
        text / np.linalg.norm(text, axis=1, keepdims=True),
        rng.integers(0, 12, ITEMS),
    )


@st.composite
def lists(draw):
    """Scores and candidates of three users, some with fewer candidates than others."""
    width = draw(st.integers(1, ITEMS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    candidates = np.stack([rng.permutation(ITEMS)[:width] for _ in range(3)]).astype(np.int64)
    for user in range(3):
        candidates[user, draw(st.integers(0, width)) :] = -1
    scores = rng.choice(np.linspace(0, 1, 9), candidates.shape).astype(np.float32)
    return scores, candidates


dials = st.builds(
    RerankConfig,
    max_per_category=st.integers(0, 4),
    category_window=st.integers(1, 30),
    diversity=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    novelty=st.sampled_from([0.0, 0.3, 1.0]),
    window=st.integers(1, 30),
    explore=st.sampled_from([0.0, 0.1, 0.25, 1.0]),
    explore_below=st.integers(1, 12),
)


def rerank(order, candidates, known, dial, **told):
    """By the dials, everybody exploring as much."""
    shares = np.full(len(order), dial.explore)
    return reranking.rerank(order, candidates, known, dial, shares=shares, **told)


def reranked(scores, candidates, dial, k):
    places, explored = rerank(by_score(scores, candidates), candidates, facts(), dial, k=k)
    return np.take_along_axis(candidates, places, 1), explored


@settings(deadline=None, max_examples=150)
@given(lists(), dials, st.integers(1, ITEMS))
def test_no_rule_loses_doubles_or_invents_an_item_or_leaves_a_gap(drawn, dial, k):
    scores, candidates = drawn
    items, explored = reranked(scores, candidates, dial, k)
    assert items.shape == explored.shape == (3, min(k, candidates.shape[1]))
    for mine, offered in zip(items, candidates, strict=True):
        real, there = mine[mine >= 0], offered[offered >= 0]
        assert len(real) == min(k, len(there))
        assert len(set(real)) == len(real)
        assert set(real) <= set(there)
        assert (mine[len(real) :] == -1).all()
    assert not (explored & (items < 0)).any()


@settings(deadline=None, max_examples=80)
@given(lists(), st.integers(1, ITEMS))
def test_with_all_dials_at_zero_the_order_is_the_scores_and_ties_stay_as_they_were(drawn, k):
    scores, candidates = drawn
    items, explored = reranked(scores, candidates, RerankConfig(explore=0), k)
    for mine, row, offered in zip(items, scores, candidates, strict=True):
        there = [offered[place] for place in np.argsort(-row, kind="stable")]
        assert mine[mine >= 0].tolist() == [c for c in there if c >= 0][:k]
    assert not explored.any()


@settings(deadline=None, max_examples=60)
@given(lists(), st.floats(1e-12, 1e-9))
def test_a_diversity_of_next_to_nothing_changes_nothing(drawn, weight):
    plain, _ = reranked(*drawn, RerankConfig(explore=0), ITEMS)
    assert (reranked(*drawn, RerankConfig(diversity=weight, explore=0), ITEMS)[0] == plain).all()


def plainly_rearranged(order, rows, known, dial):
    """Maximal marginal relevance as it is defined, over the whole window."""
    window = order[: min(dial.window, int((rows[order] >= 0).sum()))]
    if len(window) < 2:
        return order
    vectors = known.text[rows[window]]
    likeness = vectors @ vectors.T
    scored, seldom = np.linspace(1.0, 0.0, len(window)), np.empty(len(window))
    seldom[np.argsort(known.interactions[rows[window]], kind="stable")] = scored
    relevance = (1 - dial.novelty) * scored + dial.novelty * seldom
    nearest, left, chosen = np.zeros(len(window)), np.ones(len(window), bool), []
    for _ in window:
        gain = (1 - dial.diversity) * relevance - dial.diversity * nearest
        chosen.append(int(np.argmax(np.where(left, gain, -np.inf))))
        left[chosen[-1]] = False
        nearest = np.maximum(nearest, likeness[chosen[-1]])
    return np.concatenate([window[chosen], order[len(window) :]])


@settings(deadline=None, max_examples=200)
@given(lists(), dials, st.integers(1, ITEMS), st.booleans())
def test_relevance_and_likeness_are_weighed_as_they_are_defined(drawn, some, k, alike):
    scores, candidates = drawn
    dial = some.model_copy(update={"max_per_category": 0, "explore": 0.0})
    known = facts()
    if alike:  # products without a rounding, so that gains are often equal
        known = replace(known, text=np.sign(known.text) * np.float32(0.25))
    order = by_score(scores, candidates)
    places, _ = rerank(order, candidates, known, dial, k=k)
    for mine, row, rows in zip(places, order, candidates, strict=True):
        assert mine.tolist() == plainly_rearranged(row, rows, known, dial)[:k].tolist()


def test_diversity_puts_what_is_unlike_before_what_is_alike():
    text = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2]]
    same = ItemFacts(NONE[:5], text, np.zeros(5, np.int64))
    scores, candidates = np.array([[5, 4, 3, 2, 1]], np.float32), np.arange(5)[None, :]
    dial = RerankConfig(diversity=0.9, explore=0)
    places, _ = rerank(by_score(scores, candidates), candidates, same, dial, k=5)
    assert places.tolist() == [[0, 3, 4, 1, 2]]


def test_novelty_puts_what_is_seldom_taken_before_what_everybody_takes():
    touched = ItemFacts(NONE[:5], np.eye(5, dtype=np.float32), np.array([90, 50, 40, 2, 1]))
    order, candidates = np.arange(5)[None, :], np.arange(5)[None, :]
    whole, _ = rerank(order, candidates, touched, RerankConfig(novelty=1, explore=0), k=5)
    assert whole.tolist() == [[4, 3, 2, 1, 0]]
    first, _ = rerank(order, candidates, touched, RerankConfig(novelty=1, explore=0, window=2), k=5)
    assert first.tolist() == [[1, 0, 2, 3, 4]]
    some, _ = rerank(order, candidates, touched, RerankConfig(novelty=0.4, explore=0), k=5)
    assert some.tolist() == [[0, 1, 2, 3, 4]]


@settings(deadline=None, max_examples=60)
@given(lists(), st.sampled_from([0.1, 0.2, 0.5]), st.integers(1, ITEMS))
def test_exploration_takes_its_share_of_the_list_and_no_more(drawn, share, k):
    scores, candidates = drawn
    dial = RerankConfig(explore=share, explore_below=5)
    plain, _ = reranked(scores, candidates, RerankConfig(explore=0), k)
    items, explored = reranked(scores, candidates, dial, k)
    touched = facts().interactions
    for mine, marked, best, offered in zip(items, explored, plain, candidates, strict=True):
        there = offered[offered >= 0]
        slots = int(min(k, len(there)) * share + 1e-9)
        rare_left = set(there[touched[there] <= 5]) - set(mine[~marked])
        assert marked.sum() == slots or (marked.sum() < slots and rare_left <= set(mine[marked]))
        assert (touched[mine[marked]] <= 5).all()
        others = [item for item in best if item not in set(mine[marked])]
        assert mine[~marked].tolist() == others[: (~marked).sum()], "by score, as without"


def test_a_rare_item_that_is_high_by_its_score_stays_there():
    scores = np.linspace(1, 0, 20, dtype=np.float32)[None, :]
    candidates, touched = np.arange(20)[None, :], np.where(np.arange(20) % 10 == 0, 0, 9)
    some = ItemFacts(NONE[:20], np.eye(20, dtype=np.float32), touched)
    dial = RerankConfig(explore=0.05)
    places, explored = rerank(by_score(scores, candidates), candidates, some, dial, k=20)
    assert places[0].tolist() == list(range(20)), "both are there by their scores"
    assert not explored.any()


def explored_ranks(share, length, untouched=0):
    """Ranks that are explored of a list of candidates 0, 1, …, the best first, and the list."""
    scores = np.linspace(1, 0, length, dtype=np.float32)[None, :]
    candidates = np.arange(length)[None, :]
    touched = np.where(np.arange(length) >= length // 2, 0, 9)
    some = ItemFacts(NONE[:length], np.eye(length, dtype=np.float32), touched)
    order, dial = by_score(scores, candidates), RerankConfig(explore=share)
    places, explored = rerank(order, candidates, some, dial, k=length, untouched=untouched)
    return np.flatnonzero(explored[0]).tolist(), places[0].tolist()


def test_the_last_of_every_twenty_ranks_are_explored():
    assert explored_ranks(0.05, 40)[0] == [19, 39]
    assert explored_ranks(0.15, 50)[0] == [17, 18, 19, 37, 38, 39, 49]
    assert explored_ranks(0.25, 10)[0] == [8, 9]
    assert explored_ranks(0.1, 9)[0] == []


def test_untouched_items_and_rare_ones_take_turns_each_in_their_order():
    ranks, places = explored_ranks(0.3, 20, untouched=4)
    assert ranks == [14, 15, 16, 17, 18, 19]
    assert places[14:] == [16, 14, 17, 15, 18, 19], "16 to 19 are untouched, 10 to 15 rare"
    assert sorted(places) == list(range(20))
    assert explored_ranks(0.3, 20)[1][14:] == [14, 15, 16, 17, 18, 19], "only rare ones"


def test_what_was_only_added_to_be_explored_is_nowhere_else_unless_there_is_too_little_else():
    scores = np.linspace(0, 1, 12, dtype=np.float32)[None, :]  # the last are the best
    candidates = np.array([[0, 1, 2, 3, 4, 5, -1, 7, 8, 9, 10, 11]])
    touched = np.where(np.arange(12) < 8, 9, 2)
    some = ItemFacts(NONE[:12], np.eye(12, dtype=np.float32), touched)
    told = by_score(scores, candidates), candidates, some
    places, explored = rerank(*told, RerankConfig(explore=0.4), k=6, added=4)
    assert places[0].tolist() == [7, 5, 4, 3, 11, 10]
    assert np.flatnonzero(explored[0]).tolist() == [4, 5]
    places, _ = rerank(*told, RerankConfig(explore=0.0), k=12, added=4)
    assert places[0].tolist() == [11, 10, 9, 8, 7, 5, 4, 3, 2, 1, 0, 6], "all there is, by score"
