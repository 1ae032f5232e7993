"""Scoring: every user gets min(k, eligible) items, the same ones however the work is cut."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from pwrank.datasets import RANKINGS, IdTypes
from pwrank.lists.sources_of_ranks import ALL_SOURCES
from pwrank.ranker.model_inputs import history_paths
from pwrank.score import score_shard
from tests.library.tiny_world import AS_OF, USERS, some_items, stage_night


def histories_of(night) -> pl.DataFrame:
    return pl.read_parquet(history_paths(night.run.store, night.known.histories))


def check_lists(night, k, *, offered=19, exclude_seen=True):
    """The promises of issue 2, user by user. Returns the rankings."""
    rankings, log = night.rankings, histories_of(night)
    seen = {user: set(rows["item_id"]) for (user,), rows in log.group_by("user_id")}
    users = pl.read_parquet(
        [p for p in night.known.histories.file_paths(night.run.store.lake) if "users-" in p.name]
    )["user_id"]
    assert rankings.schema == RANKINGS.schema(IdTypes())
    for user in users:
        mine = rankings.filter(pl.col("user_id") == user)
        had = {item for item in seen.get(user, set()) if item < f"{offered:03d}"}
        eligible = offered - len(had) if exclude_seen else offered
        assert mine.height == min(k, eligible), user
        assert mine["rank"].to_list() == list(range(1, mine.height + 1))
        assert mine["item_id"].n_unique() == mine.height
        assert mine["score"].is_finite().all()
        if exclude_seen:
            assert not seen.get(user, set()) & set(mine["item_id"])
        reasons = set(mine["reason_item_ids"].explode().drop_nulls())
        assert reasons <= seen.get(user, set())
    assert f"{offered:03d}" not in set(rankings["item_id"])
    assert set(rankings["source"]) <= set(ALL_SOURCES)
    return rankings


def test_every_user_gets_a_full_list_of_new_available_items(night):
    rankings = check_lists(night, 5)
    assert rankings["user_id"].unique().sort().to_list() == USERS
    falling = rankings.select((pl.col("score").diff() <= 0).over("user_id")).to_series()
    assert falling.drop_nulls().all()


def test_parts_are_sorted_by_user_and_rank_and_hold_a_user_whole(night):
    parts = [pl.read_parquet(p) for p in night.staged.file_paths(night.run.store.lake)]
    for part in parts:
        assert part.select("user_id", "rank").equals(part.select("user_id", "rank").sort(pl.all()))
    assert sum(part["user_id"].n_unique() for part in parts) == len(USERS)


def test_reasons_name_each_item_once(night):
    counts = night.rankings.select(
        pl.col("reason_item_ids").list.len() == pl.col("reason_item_ids").list.n_unique()
    )
    assert counts.to_series().all()


def test_lists_are_as_long_as_the_catalogue_allows_where_k_is_larger(trained_world):
    night = stage_night(trained_world.run(score={"k": 50, "candidates": 3}))
    check_lists(night, 50)
    night.publish()


def test_seen_items_come_back_where_that_is_configured(trained_world):
    night = stage_night(trained_world.run(score={"k": 50, "exclude_seen": False}))
    rankings = check_lists(night, 50, exclude_seen=False)
    assert rankings.group_by("user_id").len()["len"].unique().to_list() == [19]
    night.publish()


@pytest.mark.parametrize(("shards", "threads"), [(1, 1), (1, 4), (7, 4)])
def test_every_bit_is_the_same_however_users_are_cut_and_spread(
    trained_world, night, shards, threads
):
    # Other shards are another folder of staged parts, or nothing would be scored again.
    score, runtime = {"shards": shards}, {"threads": threads, "task_runner": "sequential"}
    other = stage_night(trained_world.run(score=score, runtime=runtime))
    assert other.rankings.sort("user_id", "rank").equals(night.rankings.sort("user_id", "rank"))


def test_a_part_that_is_there_is_not_scored_again(trained_world):
    night = stage_night(trained_world.run())
    parts = night.staged.file_paths(night.run.store.lake)
    before = [path.stat().st_mtime_ns for path in parts]
    parts[1].unlink()
    reused = [score_shard(night.run, night.refs, shard=n).reused for n in range(3)]
    assert reused == [True, False, True]
    assert [path.stat().st_mtime_ns == old for path, old in zip(parts, before, strict=True)] == [
        True,
        False,
        True,
    ]


def test_users_without_a_usable_history_get_what_is_popular(trained_world):
    rows = [("cold", "unheard-of", "2024-03-05", "", "e"), ("low", "001", "2024-03-05", 1, "e")]
    trained_world.write_drop("cold.csv", rows)
    night = stage_night(trained_world.run(clean={"positive_rating": 2}))
    rankings = check_lists(night, 5)
    sources = dict(rankings.group_by("user_id").agg(pl.col("source").unique()).rows())
    assert sources["cold"] == sources["low"] == ["popular"]
    assert sources["u00"] != ["popular"]
    lonely = rankings.filter(pl.col("user_id").is_in(["cold", "low"]))
    assert (lonely["reason_item_ids"].list.len() == 0).all()
    night.publish()


def test_users_of_the_users_table_get_a_list_even_if_they_never_did_anything(trained_world):
    (trained_world.folder / "users.csv").write_text("user_id\nnewcomer\nu00\n", encoding="utf-8")
    night = stage_night(trained_world.run(source={"users": "users.csv"}))
    assert "newcomer" in set(check_lists(night, 5)["user_id"])
    night.publish()


def test_only_recently_active_users_get_a_list_where_that_is_configured(trained_world):
    trained_world.write_drop("old.csv", [("gone", "003", "2024-02-01", 5, "view")])
    night = stage_night(trained_world.run(score={"active_days": 20}))
    assert "gone" not in set(night.rankings["user_id"])
    assert set(night.rankings["user_id"]) == set(USERS)
    night.publish()


def test_an_item_that_the_model_never_met_is_named_by_its_source(trained_world):
    night = stage_night(trained_world.run())
    assert "ranker_text" not in set(night.rankings["source"])
    fresh = {"item_id": "0000", "title": "word1 word2", "category": "Books"}
    trained_world.write_items([*some_items(), fresh])
    tomorrow = AS_OF + timedelta(days=1)
    later = stage_night(trained_world.run(as_of=tomorrow, score={"k": 30}, rerank={"explore": 0}))
    assert later.refs.model == night.refs.model
    new = later.rankings.filter(pl.col("item_id") == "0000")
    assert new.height == len(USERS)
    assert set(new["source"]) == {"ranker_text"}


def test_rules_are_applied_and_the_night_still_passes_its_gates(trained_world):
    rules = {"max_per_category": 1, "category_window": 3, "explore": 0.4, "explore_below": 4}
    night = stage_night(trained_world.run(rerank=rules | {"diversity": 0.3, "coverage": 0.5}))
    rankings = check_lists(night, 5)
    assert "explore" in set(rankings["source"])
    night.publish()


def test_the_cap_holds_over_explored_ranks_and_what_cannot_keep_to_it_is_counted(trained_world):
    rules = {"explore": 0.4, "explore_below": 20}
    for most, longest in ((2, 2), (1, 2)):
        told = rules | {"max_per_category": most}
        night = stage_night(trained_world.run(score={"k": 5}, rerank=told))
        items = pl.read_parquet(night.refs.catalogue.file_paths(night.run.store.lake))
        lists = check_lists(night, 5).join(items, on="item_id").filter(pl.col("category") != "")
        counts = lists.group_by("user_id", "category").len()
        assert "explore" in set(lists["source"])
        assert counts["len"].max() == longest, "five ranks, three categories"
        over = night.evaluate().figures["lists_over_cap"]
        assert over == counts.filter(pl.col("len") > most)["user_id"].n_unique()
        assert (over == 0) == (most == longest)
