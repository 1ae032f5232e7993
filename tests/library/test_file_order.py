"""Logs without times whose files are sorted: their order is no order of events."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import polars as pl
import pytest

from pwrank.config import CleanConfig
from pwrank.datasets import NO_TIME
from pwrank.evaluation.board_split import open_landed, split_log
from pwrank.evaluation.known_log import SplitRule
from pwrank.ingest import ingest, land_drops
from pwrank.ranker.model_inputs import history_paths
from pwrank.views.cleaning import clean_shard
from pwrank.views.file_order import FEWEST_STEPS, OrderEvidence, by_chance, chance
from tests.library.tiny_world import NOW, World, some_items

USERS, TAKEN = 40, 12


def rows(order=None, *, users=USERS, ids=lambda number: f"{number:03d}", times=False):
    """INTERACTIONS columns; order: key by which the rows of a user are sorted, None = by chance."""
    rng = random.Random(3)  # noqa: S311 - not for secrets
    told = []
    for user in range(users):
        mine = [
            {"item": item, "rating": float(rng.randint(1, 5)), "weight": rng.paretovariate(1.0)}
            for item in rng.sample(range(30), TAKEN)
        ]
        mine = sorted(mine, key=order) if order else mine
        told += [{"user_id": f"u{user}", **row} for row in mine]
    frame = pl.DataFrame(told).with_columns(
        pl.Series("item_id", [ids(row["item"]) for row in told]),
        pl.lit("log.csv").alias("source_file"),
        pl.int_range(pl.len()).alias("source_line"),
        pl.lit("view").alias("event"),
    )
    moment = datetime(2024, 3, 1, tzinfo=UTC) if times else NO_TIME
    return frame.drop("item").with_columns(pl.lit(moment).alias("occurred_at"))


def said(frame, **clean):
    return by_chance(OrderEvidence.of(frame), CleanConfig(**clean))


@pytest.mark.parametrize(
    ("order", "ids", "name"),
    [
        (lambda row: row["item"], lambda number: f"{number:03d}", "item_id"),
        (lambda row: -row["item"], lambda number: f"{number:03d}", "item_id"),
        (lambda row: row["item"], str, "item_id"),  # 2 before 10
        (lambda row: str(row["item"]), str, "item_id"),  # 10 before 2
        (lambda row: -row["rating"], str, "rating"),
        (lambda row: -row["weight"], str, "weight"),
    ],
)
def test_what_sorted_the_rows_is_found(order, ids, name):
    assert said(rows(order, users=80, ids=ids)) == f"the rows of each user are sorted by {name}"


def test_rows_that_lie_item_by_item_are_sorted_by_item():
    frame = rows(lambda row: (7 * row["item"]) % 30).sort(
        pl.col("item_id").cast(pl.Int64) * 7 % 30, maintain_order=True
    )
    frame = frame.with_columns(pl.int_range(pl.len()).alias("source_line"))
    assert said(frame) == "the rows of each user are sorted by item_id"


def test_rows_in_another_order_are_in_the_order_of_events():
    assert said(rows()) == ""
    assert said(rows(), file_order="ignore") == '[clean] file_order = "ignore"'


@pytest.mark.parametrize("files", [1, 30])
def test_a_long_tail_of_items_that_stand_once_is_no_sorting(files):
    rng = random.Random(4)  # noqa: S311 - not for secrets
    people = [f"u{rng.randrange(120)}" for _ in range(3000)]
    frame = pl.DataFrame(
        {
            "user_id": people if files > 1 else sorted(people),
            "item_id": [f"i{rng.randrange(4000):04d}" for _ in people],
            "source_file": [f"{files * place // len(people):02d}.csv" for place in range(3000)],
        }
    ).with_columns(
        pl.int_range(pl.len()).over("source_file").alias("source_line"),
        pl.lit(None, pl.Float32).alias("rating"),
        pl.lit(1.0).alias("weight"),
        pl.lit(NO_TIME).alias("occurred_at"),
    )
    assert said(frame) == ""


def test_rows_with_times_or_trusted_or_few_are_believed():
    def by_item(row):
        return row["item"]

    assert said(rows(by_item, times=True)) == ""
    assert said(rows(by_item, times=True), file_order="ignore") == ""
    assert said(rows(by_item), file_order="trust") == ""
    few = FEWEST_STEPS // (TAKEN - 1)
    assert said(rows(by_item, users=few)) == ""
    assert said(rows(by_item, users=few + 1)) != ""


def test_chance_depends_on_user_and_item_alone():
    frame = rows()
    alone = pl.concat([chance(frame[place : place + 1]) for place in range(100)])
    assert alone.equals(chance(frame)[:100])
    assert chance(frame).n_unique() == frame.height


def test_repeats_of_an_item_do_not_stay_together():
    frame = pl.concat([rows(lambda row: row["item"])] * 4)
    frame = frame.sort("user_id", "item_id").with_columns(
        pl.int_range(pl.len()).alias("source_line")
    )
    kept, _ = clean_shard(frame, CleanConfig(), frame["item_id"].unique(), in_order=False)
    again = (pl.col("item_id") == pl.col("item_id").shift()).over("user_id").mean()
    assert kept.select(again).item() < 0.15


def test_rows_with_times_keep_their_order_beside_rows_in_none():
    timed = rows(times=True)
    both = pl.concat([timed, rows(lambda row: row["item"])])
    kept, _ = clean_shard(both, CleanConfig(), both["item_id"].unique(), in_order=False)
    kept = kept.filter(pl.col("occurred_at") > NO_TIME)
    assert kept.equals(timed.sort("user_id", maintain_order=True))


def test_rows_in_no_order_are_read_in_the_same_one_whatever_is_added():
    frame = rows(lambda row: row["item"])
    known = frame["item_id"].unique()
    all_of_it, _ = clean_shard(frame, CleanConfig(), known, in_order=False)
    assert sorted(all_of_it["item_id"]) == sorted(frame["item_id"])
    assert said(all_of_it.with_columns(pl.int_range(pl.len()).alias("source_line"))) == ""
    fewer, _ = clean_shard(frame.filter(pl.col("source_line") % 3 > 0), CleanConfig(), known,
                           in_order=False)  # fmt: skip
    kept = all_of_it.filter(pl.col("source_line") % 3 > 0)
    assert kept["item_id"].to_list() == fewer["item_id"].to_list()


def sorted_world(tmp_path, encoder):
    world = World(tmp_path, encoder)
    world.write_items(some_items())
    told = rows(lambda row: row["item"]).select("user_id", "item_id")
    (world.folder / "interactions.csv").unlink(missing_ok=True)
    told.write_csv(world.folder / "sorted.csv")
    columns = {"user_id": "user_id", "item_id": "item_id", "timestamp": ""}
    return world, {"source": {"interactions": "sorted.csv", "columns": columns}}


def steps_up(world, done) -> float:
    """Share of steps from one row of a user to the next that lead to a larger id."""
    frame = pl.read_parquet(history_paths(world.store, done.histories))
    before = pl.col("item_id").shift().over("user_id")
    share = frame.select((pl.col("item_id") > before).mean()).item()
    assert isinstance(share, float)
    return share


def test_a_night_reads_a_sorted_log_by_chance_and_says_so(tmp_path, tiny_encoder):
    world, sections = sorted_world(tmp_path, tiny_encoder)
    done = ingest(world.run(**sections))
    assert done.histories.figures["by_chance"] == "the rows of each user are sorted by item_id"
    assert 0.4 < steps_up(world, done) < 0.6
    trusting = ingest(world.run(clean={"file_order": "trust"}, **sections))
    assert trusting.histories.figures["by_chance"] == ""
    assert steps_up(world, trusting) == 1.0


def test_a_board_holds_out_an_item_by_chance_rather_than_the_last_of_the_sorting(
    tmp_path, tiny_encoder
):
    world, sections = sorted_world(tmp_path, tiny_encoder)
    config = world.configure(**sections)
    land_drops(open_landed(config), config, now=NOW)
    split = split_log(config, SplitRule(None), end=None, now=NOW)
    assert (
        split.told()
        == "an interaction of each user by chance is held out, since they tell no order"
    )
    held = pl.read_parquet(split.held_out)
    assert held.height == USERS
    last = rows(lambda row: row["item"]).group_by("user_id").agg(pl.col("item_id").max())
    assert held.join(last, on=["user_id", "item_id"]).height < USERS // 3
    run = split.run(config, NOW)
    assert run.config.clean.file_order == "ignore", "what is left is read as it was parted"
    assert steps_up(run, ingest(run)) < 0.6
