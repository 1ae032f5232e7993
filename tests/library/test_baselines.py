"""Popularity, item-kNN and EASE as rankings."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pwrank.errors import InputError
from pwrank.evaluation import item_baselines, scored_lists
from pwrank.evaluation.baselines import (
    popularity_list,
    popularity_order,
    recent_popularity,
    user_items,
)
from pwrank.evaluation.item_baselines import ease, item_knn
from pwrank.evaluation.scored_lists import top_columns

CUT = datetime(2024, 3, 1, tzinfo=UTC)


def log(rows):
    """Rows of (user, item, days before the cut)."""
    return pl.DataFrame(
        [(user, item, CUT - timedelta(days=days)) for user, item, days in rows],
        schema={
            "user_id": pl.String,
            "item_id": pl.String,
            "occurred_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


HISTORY = log(
    [
        *[("u", "a", 90), ("v", "a", 80), ("w", "a", 70)],
        *[("u", "b", 60), ("v", "b", 50)],
        *[("w", "c", 2), ("x", "c", 1)],
        ("x", "outside", 1),
    ]
)
ITEMS = pl.Series("item_id", ["d", "c", "b", "a"])


def lists(frame):
    assert frame.columns == ["user_id", "rank", "item_id"]
    grouped = frame.group_by("user_id", maintain_order=True).agg("rank", "item_id")
    assert all(ranks == list(range(1, len(ranks) + 1)) for ranks in grouped["rank"].to_list())
    return dict(zip(grouped["user_id"], ("".join(i) for i in grouped["item_id"]), strict=True))


def test_popularity_orders_by_count_then_id_and_knows_only_the_given_items():
    assert popularity_order(HISTORY, ITEMS).to_list() == ["a", "b", "c", "d"]


def test_recent_popularity_looks_at_the_last_days_and_breaks_ties_by_all_time():
    everyone = recent_popularity(HISTORY, ITEMS, cut=CUT, days=7, seen=None)
    assert lists(everyone.rank(pl.Series(["u"]), k=4)) == {"u": "cabd"}


def test_popularity_leaves_out_what_each_user_has_seen():
    seen = user_items(HISTORY, popularity_order(HISTORY, ITEMS))
    baseline = popularity_list(HISTORY, ITEMS, seen=seen)
    users = pl.Series(["x", "new", "u", "w"])
    assert lists(baseline.rank(users, k=2)) == {"x": "ab", "new": "ab", "u": "cd", "w": "bd"}
    assert lists(baseline.rank(users, k=9)) == {"x": "abd", "new": "abcd", "u": "cd", "w": "bd"}


def test_seen_items_may_come_back_where_repeats_count():
    baseline = popularity_list(HISTORY, ITEMS, seen=None)
    assert lists(baseline.rank(pl.Series(["u", "v"]), k=3)) == {"u": "abc", "v": "abc"}


@given(
    st.lists(
        st.tuples(st.sampled_from("uvw"), st.sampled_from("abcdef"), st.integers(1, 60)),
        min_size=1,
    ),
    st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_a_popularity_list_is_the_global_list_without_the_seen_items(rows, k):
    history = log(rows)
    order = popularity_order(history, pl.Series(list("abcdef")))
    seen = user_items(history, pl.Series(list("fedcba")))  # Any order of the same items will do.
    baseline = recent_popularity(history, order, cut=CUT, days=9, seen=seen)
    found = lists(baseline.rank(pl.Series(["u", "v", "w", "x"]), k=k))
    for user in "uvwx":
        mine = {item for who, item, _ in rows if who == user}
        wanted = [item for item in baseline.items.to_list() if item not in mine][:k]
        assert found.get(user, "") == "".join(wanted)


def test_baselines_answer_an_empty_list_of_users():
    order = popularity_order(HISTORY, ITEMS)
    matrix = user_items(HISTORY, order)
    nobody = pl.Series([], dtype=pl.String)
    for baseline in (popularity_list(HISTORY, ITEMS, seen=matrix), item_knn(matrix), ease(matrix)):
        frame = baseline.rank(nobody, k=5)
        assert frame.height == 0
        assert frame.columns == ["user_id", "rank", "item_id"]


PAIRS = log(
    [(user, item, 1) for user, items in {"p": "ab", "q": "ab", "r": "cd", "s": "cd"}.items()
     for item in items]
    + [("t", "a", 1), ("z", "c", 1)]
)  # fmt: skip


@pytest.mark.parametrize("model", [item_knn, lambda h, **kw: ease(h, regularisation=1.0, **kw)])
def test_item_models_put_first_what_was_taken_together(model):
    matrix = user_items(PAIRS, popularity_order(PAIRS, pl.Series(list("abcd"))))
    found = lists(model(matrix).rank(pl.Series(["t", "z", "new"]), k=4))
    assert found["t"][0] == "b"
    assert found["z"][0] == "d"
    assert "a" not in found["t"]
    assert found["new"] == "acbd"
    again = lists(model(matrix, exclude_seen=False).rank(pl.Series(["p"]), k=4))
    assert set(again["p"][:2]) == {"a", "b"}


def test_item_knn_weights_are_cosines_of_the_nearest_neighbours():
    matrix = user_items(PAIRS, pl.Series(list("abcd")))
    weights = item_knn(matrix, neighbours=1).weights.toarray()
    assert weights[0, 1] == pytest.approx(2 / np.sqrt(3 * 2))
    assert np.count_nonzero(weights) == 4
    assert not np.diag(weights).any()


def test_ease_agrees_with_its_definition():
    matrix = user_items(PAIRS, pl.Series(list("abcd")))
    dense = matrix.matrix.toarray()
    precision = np.linalg.inv(dense.T @ dense + 2.0 * np.eye(4))
    wanted = -precision / np.diag(precision)
    np.fill_diagonal(wanted, 0)
    assert np.allclose(ease(matrix, regularisation=2.0).weights, wanted, atol=1e-5)


def test_ease_refuses_more_items_than_it_can_invert(monkeypatch):
    monkeypatch.setattr(item_baselines, "EASE_MAX_ITEMS", 3)
    with pytest.raises(InputError, match="4 items"):
        ease(user_items(PAIRS, pl.Series(list("abcd"))))


def test_lists_do_not_depend_on_the_batch(monkeypatch):
    matrix = user_items(PAIRS, popularity_order(PAIRS, pl.Series(list("abcd"))))
    users = pl.Series(list("pqrstz"))
    whole = item_knn(matrix).rank(users, k=3)
    monkeypatch.setattr(scored_lists, "SCORE_CELLS", 8)
    assert whole.equals(item_knn(matrix).rank(users, k=3))


def test_top_columns_give_ties_to_the_lower_column_and_hide_what_is_excluded():
    scores = np.array([[1, 5, 1, 5], [-np.inf, 0, -np.inf, 0]], np.float32)
    assert top_columns(scores, 3).tolist() == [[1, 3, 0], [1, 3, -1]]
    assert top_columns(scores, 9).shape == (2, 4)
