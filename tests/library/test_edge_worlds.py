"""The smallest and oddest worlds work through to published lists, or say clearly why not."""

from __future__ import annotations

import json
import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from pwrank.errors import InputError
from pwrank.ranker.history import group_by_user
from pwrank.ranker.model_inputs import YEAR_SECONDS, _times
from pwrank.ranker.popularity import DAY_SECONDS, FEATURE_NAMES, item_activity
from pwrank.report.night import write_night_report
from pwrank.report.users import sample_users, show_staged
from tests.library.tiny_world import World, stage_night

USER, ITEM, TIME = "user_id", "item_id", "timestamp"


def items(count, **columns):
    titles = [f"word{n % 90} word{n * 7 % 90}" for n in range(count)]
    return [{"item_id": f"i{n}", "title": title} | columns for n, title in enumerate(titles)]


def day(number):
    return f"2024-03-{number:02d}T10:00:00Z"


def log(pairs):
    return [(user, item, day(1 + n % 6)) for n, (user, item) in enumerate(pairs)]


@pytest.fixture
def world(tmp_path, tiny_encoder) -> World:
    world = World(tmp_path, tiny_encoder)
    world.settings["score"] = {"k": 5, "shards": 2}
    return world


def night_of(world, rows, catalogue, columns=(USER, ITEM, TIME), **sections):
    world.write_drop("log.csv", rows, columns)
    world.write_items(catalogue)
    return stage_night(world.run(**sections))


def publish_whole(night):
    """Gates, figures, page and shown users: everything that reads the staged lists."""
    metrics = night.evaluate()
    done = night.publish()
    assert done.users == night.staged.figures["users"]
    store, refs, staged = night.run.store, night.refs, night.staged
    page = write_night_report(
        night.run, refs, staged=staged, metrics=metrics, gates=done.gates, refusal=None
    )
    assert page.stat().st_size > 1000
    lists = pl.scan_parquet(staged.file_paths(store.lake))
    shown = show_staged(store, refs, staged, sample_users(store, refs, lists, 3))
    assert len(shown) == min(3, done.users)
    return night.rankings


PAIRS = [(f"u{n % 3}", f"i{n % 4}") for n in range(12)]

WORLDS = {
    "one user": ([("u0", "i0"), ("u0", "i1")], items(6), {}),
    "one interaction": ([("u0", "i0")], items(6), {}),
    "two items": ([("u0", "i0"), ("u1", "i1")], items(2), {}),
    "one item that one user has not had": ([("u0", "i0"), ("u1", "x")], items(1), {}),
    "k larger than the catalogue": (PAIRS, items(8), {"score": {"k": 500, "candidates": 500}}),
    "one shard a user and empty shards": (PAIRS, items(8), {"score": {"shards": 16}}),
    "one user has had everything": ([("u0", f"i{n}") for n in range(6)] + PAIRS, items(6), {}),
    "everything is seen and may come back": (
        [(user, item) for user in ("u0", "u1") for item in ("i0", "i1")],
        items(2),
        {"score": {"exclude_seen": False}},
    ),
    "all items have the same text": (PAIRS, [row | {"title": "word1"} for row in items(8)], {}),
    "one category": (PAIRS, items(8, category="Books"), {"rerank": {"max_per_category": 1}}),
    "only one item has text": (PAIRS, [*items(1), *items(8, title="")[1:]], {}),
    "a long history": ([("u0", f"i{n % 40}") for n in range(300)] + PAIRS, items(60), {}),
    "an approximate index on next to nothing": (PAIRS, items(8), {"index": {"kind": "ivf"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", WORLDS)
def test_a_small_world_works_through_to_published_lists(world, name):
    pairs, catalogue, sections = WORLDS[name]
    night = night_of(world, log(pairs), catalogue, **sections)
    rankings = publish_whole(night)
    assert rankings["score"].is_finite().all()


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ((USER, ITEM, TIME), log(PAIRS)),
        ((USER, ITEM, TIME), [(user, item, day(3)) for user, item in PAIRS]),
        ((USER, ITEM), PAIRS),
        ((USER, ITEM, TIME, "rating"), [(*row, 4) for row in log(PAIRS)]),
        ((USER, ITEM, TIME, "rating"), [(*row, "") for row in log(PAIRS)]),
        ((USER, ITEM, TIME, "event"), [(*row, n) for n, row in enumerate(log(PAIRS))]),
        ((USER, ITEM, TIME, "weight"), [(*row, 1e6) for row in log(PAIRS)]),
    ],
    ids=["no ratings", "one time", "no times", "one rating", "empty ratings", "events", "weights"],
)
def test_columns_may_be_missing_constant_or_empty(world, columns, rows):
    publish_whole(night_of(world, rows, items(8), columns))


def test_nobody_who_can_be_given_anything_is_an_error_and_says_what_to_change(world):
    pairs = [(user, item) for user in ("u0", "u1") for item in ("i0", "i1")]
    with pytest.raises(InputError, match=r"no list for anybody .* exclude_seen = false"):
        night_of(world, log(pairs), items(2))


def test_one_item_that_everybody_has_had_is_such_an_error(world):
    with pytest.raises(InputError, match="no list for anybody"):
        night_of(world, log([("u0", "i0"), ("u1", "i0")]), items(1))


def test_interactions_with_unknown_items_only_are_an_error_that_says_so(world):
    with pytest.raises(InputError, match="no interactions with known items"):
        night_of(world, log([("u0", "x"), ("u1", "y")]), items(4))


def test_a_log_after_the_cut_only_is_an_error_that_counts_it(world):
    with pytest.raises(InputError, match=r"no interactions before 2024-03-08: .*1 after the cut"):
        night_of(world, [("u0", "i0", day(9))], items(4))


def test_integer_ids_work_through_to_lists_of_integers(world):
    world.settings["source"] = {"interactions": "log.parquet", "items": "items.parquet"}
    rows = [(n % 3, 2**40 + n % 4, day(1 + n % 6)) for n in range(12)]
    pl.DataFrame(rows, schema=[USER, ITEM, TIME], orient="row").write_parquet(
        world.folder / "log.parquet"
    )
    catalogue = pl.DataFrame({"item_id": [2**40 + n for n in range(8)], "title": ["word1"] * 8})
    catalogue.write_parquet(world.folder / "items.parquet")
    rankings = publish_whole(stage_night(world.run()))
    assert rankings.schema["item_id"] == pl.Int64
    assert rankings["item_id"].min() >= 2**40
    assert rankings["reason_item_ids"].dtype == pl.List(pl.Int64)


def test_hostile_ids_are_only_ids(world):
    odd = ["../../etc", "a/b", 'q"uote', "new\nline", "🙂", "<script>alert(1)</script>", "' OR 1=1"]
    rows = [(user, item, day(3)) for user, item in zip(odd, reversed(odd), strict=True)]
    rankings = publish_whole(night_of(world, rows, [{"item_id": i, "title": "word1"} for i in odd]))
    assert set(rankings["user_id"]) == set(odd)
    page = next((world.store.lake / "reports").rglob("report.html")).read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" not in page
    outside = {path.name for path in world.folder.iterdir()}
    assert outside == {"drops", "items.jsonl", "pwrank.toml", "lake"}


def test_scores_are_probabilities_even_for_next_to_no_data(world):
    rankings = publish_whole(night_of(world, log([("u0", "i0")]), items(6)))
    assert all(0 <= score <= 1 and not math.isnan(score) for score in rankings["score"])


def test_a_log_without_times_holds_out_the_end_of_every_history_and_lies_before_any_cut():
    counts = np.array([4, 0, 1])
    times = _times(np.zeros(5, np.int64), counts, by_order=False)
    assert times.tolist() == [-YEAR_SECONDS // 4 * n for n in (3, 2, 1, 0)] + [0]
    told = np.array([7, 9], np.int64)
    assert _times(told, np.array([2]), by_order=False).tolist() == [7, 9]


def test_a_log_without_times_gives_the_same_lists_on_any_date(world):
    rows = [(f"u{n % 7}", f"i{n * n % 13}") for n in range(60)]
    source = {"interactions": "drops", "items": "items.jsonl", "columns": {TIME: ""}}
    told = {}
    for as_of in (date(1970, 1, 2), date(2024, 3, 8)):
        world.write_drop("log.csv", rows, (USER, ITEM))
        world.write_items(items(30))
        night = stage_night(world.run(as_of, source=source))
        told[as_of] = night.rankings.drop("as_of_date", "model_version", strict=False)
        metrics = night.refs.model.figures["metrics"]
        assert metrics["interactions"] == len(rows)
        assert "held_out_days" not in metrics
    first, second = told.values()
    assert first.equals(second)


def test_where_a_log_has_no_times_no_date_is_told(world, command):
    rows = [(f"u{n % 7}", f"i{n * n % 13}") for n in range(60)]
    columns = {"columns": {TIME: ""}}
    night = night_of(world, rows, items(30), (USER, ITEM), source=columns)
    publish_whole(night)
    files = [p for p in world.store.lake.rglob("*") if p.suffix in (".json", ".html", ".md")]
    assert len(files) > 10
    assert not [path for path in files if "1970-01" in path.read_text(encoding="utf-8")]
    assert night.known.histories.figures["latest_occurred_at"] is None
    assert night.staged.figures["seen_until"]["occurred_at"] is None
    shown = command("show", "--config", world.config_file, "--user", "u1")
    assert "\n    -          interaction  word" in shown.out
    told = json.loads(command("show", "--config", world.config_file, "--json").out)
    assert {row["occurred_at"] for user in told for row in user["history"]} == {None}


def test_in_a_log_without_times_nothing_grows_old_and_the_order_still_counts():
    counts = np.array([4, 4])
    times = _times(np.zeros(8, np.int64), counts, by_order=False)
    items_taken = np.array([0, 1, 2, 3, 0, 1, 2, 4])
    log = group_by_user(np.repeat([0, 1], 4), items_taken, times, num_users=2)
    activity = item_activity(log, 6)
    lifts = [name for name in FEATURE_NAMES if name.startswith("lift_")]
    half, whole = activity.features_over_time(np.array([times[2], 1]))
    for told in (half, whole):
        assert np.allclose(told[:, : len(lifts)], told[:, :1], atol=1e-5)
        assert not told[:, FEATURE_NAMES.index("log_age")].any()
    never = FEATURE_NAMES.index("never_seen")
    assert half[:, never].tolist() == [0, 0, 1, 1, 1, 1]
    assert whole[:, never].tolist() == [0, 0, 0, 0, 0, 1]
    year_later = group_by_user(
        np.repeat([0, 1], 4), items_taken, times + YEAR_SECONDS + 1, num_users=2
    )
    dated = item_activity(year_later, 6).features(YEAR_SECONDS + 2)
    assert not np.allclose(dated[:, 0], dated[:, len(lifts) - 1], atol=1e-3)


def test_of_a_log_with_times_an_item_counts_by_age_and_is_as_old_as_its_first_interaction():
    times = np.array([1, 5, 2, 9, 10]) * DAY_SECONDS
    log = group_by_user(np.array([0, 0, 1, 1, 1]), np.array([1, 0, 0, 1, 2]), times, num_users=2)
    told = item_activity(log, 4).features(10 * DAY_SECONDS)
    ages = [[5, 8], [9, 1], [], []]  # what happens at that very moment is not known yet
    counts = [sum(0.5 ** (age / 4) for age in of_item) for of_item in ages]
    assert np.allclose(told[:, FEATURE_NAMES.index("log_count_4d")], np.log1p(counts))
    assert np.allclose(told[:, FEATURE_NAMES.index("log_age")], np.log1p([8, 9, 0, 0]))
