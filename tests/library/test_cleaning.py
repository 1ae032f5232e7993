"""Each rule of `[clean]` does what it says, and counts what it sets aside."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl

from pwrank.config import CleanConfig
from pwrank.datasets import INTERACTIONS, IdTypes
from pwrank.views import cleaning

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
KNOWN = pl.Series("item_id", ["a", "b", "c"])


def log(rows):
    """Rows of (user, item, hours, event, rating, weight), the last three optional."""
    full = [(*row, *("view", None, 1.0)[len(row) - 3 :]) for row in rows]
    return pl.DataFrame(
        [
            (user, item, event, START + timedelta(hours=hours), START, rating, weight, "f", line)
            for line, (user, item, hours, event, rating, weight) in enumerate(full)
        ],
        schema=INTERACTIONS.schema(IdTypes()),
        orient="row",
    )


def clean(rows, **rules):
    frame = log(rows)
    kept, counts = cleaning.clean_shard(frame, CleanConfig(**rules), KNOWN)
    assert kept.height + counts.total() == frame.height
    return kept, dict(counts)


def lines(frame):
    return sorted(frame["source_line"].to_list())


def test_a_clean_log_passes_unchanged_in_the_order_of_users_and_time():
    kept, counts = clean([("v", "a", 2), ("u", "b", 3), ("u", "a", 1)])
    assert counts == {}
    assert kept.select("user_id", "item_id").rows() == [("u", "a"), ("u", "b"), ("v", "a")]


def test_rows_of_one_second_keep_the_order_of_their_file():
    kept, _ = clean([("u", "c", 1), ("u", "a", 1), ("u", "b", 1)])
    assert kept["item_id"].to_list() == ["c", "a", "b"]


def test_an_exact_duplicate_goes_and_anything_less_stays():
    row = ("u", "a", 1, "view", 3.0, 1.0)
    others = [("u", "a", 2, *row[3:]), (*row[:3], "buy", 3.0, 1.0), (*row[:4], 4.0, 1.0)]
    kept, counts = clean([row, row, *others])
    assert counts == {cleaning.DUPLICATE: 1}
    assert lines(kept) == [0, 2, 3, 4]
    assert clean([row, row], drop_exact_duplicates=False)[1] == {}


def test_repeats_of_a_day_are_merged_to_the_last():
    rows = [("u", "a", 0), ("u", "a", 1), ("u", "a", 20), ("u", "a", 1, "buy")]
    kept, counts = clean(rows, repeated="merge")
    assert counts == {cleaning.REPEATED: 1}
    assert lines(kept) == [1, 2, 3]
    assert set(kept["weight"]) == {1.0}


def test_or_counted_into_the_weight():
    rows = [("u", "a", 0, "view", None, 2.0), ("u", "a", 1), ("u", "b", 1)]
    kept, counts = clean(rows, repeated="count")
    assert counts == {cleaning.REPEATED: 1}
    assert dict(kept.select("item_id", "weight").rows()) == {"a": 3.0, "b": 1.0}


def test_only_positive_events_count():
    kept, counts = clean([("u", "a", 1, "view"), ("u", "a", 2, "buy")], positive_events=["buy"])
    assert counts == {cleaning.NOT_POSITIVE: 1}
    assert lines(kept) == [1]


def test_only_good_ratings_count_and_rows_without_a_rating_do():
    rows = [("u", "a", h, "view", rating) for h, rating in enumerate([3.9, 4.0, None])]
    kept, counts = clean(rows, positive_rating=4)
    assert counts == {cleaning.NOT_POSITIVE: 1}
    assert lines(kept) == [1, 2]


def test_a_robot_goes_with_all_its_rows_and_a_busy_week_does_not_make_one():
    rows = [("robot", "a", n / 10) for n in range(4)] + [("robot", "b", 48)]
    rows += [("person", "a", 24 * n) for n in range(4)]
    kept, counts = clean(rows, max_user_interactions_per_day=3)
    assert counts == {cleaning.ROBOT: 5}
    assert set(kept["user_id"]) == {"person"}


def test_a_log_without_times_has_no_robots():
    rows = log([("u", "a", n) for n in range(5)]).with_columns(
        pl.lit(datetime(1970, 1, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC")).alias("occurred_at")
    )
    rules = CleanConfig(max_user_interactions_per_day=3, drop_exact_duplicates=False)
    assert cleaning.clean_shard(rows, rules, KNOWN)[0].height == 5


def test_unknown_items_stay_as_history_unless_they_are_dropped():
    rows = [("u", "a", 1), ("u", "x", 2)]
    assert clean(rows)[1] == {}
    assert clean(rows, unknown_items="drop")[1] == {cleaning.UNKNOWN_ITEM: 1}


def test_users_with_too_few_rows_go_after_the_other_rules():
    rows = [("u", "a", 1), ("u", "x", 2), ("v", "a", 1), ("v", "b", 2)]
    kept, counts = clean(rows, unknown_items="drop", min_user_interactions=2)
    assert counts == {cleaning.UNKNOWN_ITEM: 1, cleaning.FEW_OF_USER: 1}
    assert set(kept["user_id"]) == {"v"}


def test_items_with_too_few_rows_over_all_shards_go():
    rows = log([("u", "a", 1), ("u", "b", 2)])
    totals = pl.DataFrame({"item_id": ["a", "b"], "len": [1, 5]})
    kept, counts = cleaning.drop_rare_items(rows, totals, 2)
    assert kept["item_id"].to_list() == ["b"]
    assert counts == {cleaning.FEW_OF_ITEM: 1}


def test_nothing_at_or_after_the_cut_exists():
    rows = log([("u", "a", 0), ("u", "b", 12), ("u", "c", 13)])
    cut = datetime(2024, 3, 2, tzinfo=UTC)
    assert cleaning.before_cut(rows.lazy(), cut).collect()["item_id"].to_list() == ["a"]


def test_an_empty_shard_is_fine_under_every_rule():
    rules = {"repeated": "count", "positive_events": ["x"], "positive_rating": 3}
    assert clean([], unknown_items="drop", min_user_interactions=2, **rules)[1] == {}


def test_of_equal_rows_the_first_stays_wherever_the_others_stand():
    draw = random.Random(0)  # noqa: S311
    choices = (["u", "v"], ["a", "b"], range(4), ["view", "buy"], [None, float("nan"), 3.0])
    rows = [(*(draw.choice(list(choice)) for choice in choices), 1.0) for _ in range(200)]
    kept, counts = clean(rows)
    whole = log(rows).sort("user_id", "occurred_at", "source_line")
    expected = whole.unique(cleaning.SAME_ROW, keep="first", maintain_order=True)
    assert kept.equals(expected)
    assert counts == {cleaning.DUPLICATE: len(rows) - expected.height}


def test_in_a_log_without_times_a_repeat_is_no_duplicate():
    rows = log([("u", "a", 0), ("u", "a", 0)])
    timeless = rows.with_columns(
        pl.lit(cleaning.NO_TIME).cast(rows["occurred_at"].dtype).alias("occurred_at")
    )
    assert cleaning.clean_shard(rows, CleanConfig(), KNOWN)[0].height == 1
    assert cleaning.clean_shard(timeless, CleanConfig(), KNOWN)[0].height == 2
    for told in ("merge", "count"):
        kept, counts = cleaning.clean_shard(timeless, CleanConfig(repeated=told), KNOWN)
        assert kept["weight"].to_list() == [1.0 if told == "merge" else 2.0]
        assert counts == {"repeated": 1}, "on no day"
