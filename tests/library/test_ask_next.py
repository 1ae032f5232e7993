"""`[train] ask = "next"`: what comes right after a user's last interaction, whenever that was."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from pwrank.evaluation.board_split import open_landed, split_log
from pwrank.evaluation.known_log import SplitRule
from pwrank.ingest import land_drops
from tests.library.tiny_world import AS_OF, COLUMNS, NOW, World, some_items, stage_night

NEXT = {"ask": "next"}
CUT = datetime.combine(AS_OF, time(), UTC)
ROWS = [(f"u{n % 7}", f"{n * n % 13:03d}") for n in range(60)]


@pytest.fixture
def world(tmp_path, tiny_encoder) -> World:
    world = World(tmp_path, tiny_encoder)
    world.write_items(some_items())
    return world


def lists_of(world, hours, **train):
    """Lists of ROWS that lie so many hours before the cut, each its own."""
    dated = [
        (*pair, (CUT - timedelta(hours=ago)).isoformat(), 5, "view")
        for pair, ago in zip(ROWS, hours, strict=True)
    ]
    world.write_drop("log.csv", dated, COLUMNS)
    night = stage_night(world.run(train=train))
    return night.rankings.drop("model_version", "as_of_date", strict=False)


LONG_AGO = [100 + 10 * (len(ROWS) - n) for n in range(len(ROWS))]
LATELY = [30 + (len(ROWS) - n) / 10 for n in range(len(ROWS))]


def test_times_say_nothing_but_the_order(world):
    assert lists_of(world, LONG_AGO, **NEXT).equals(lists_of(world, LATELY, **NEXT))


def test_by_default_times_count(world):
    assert not lists_of(world, LONG_AGO).equals(lists_of(world, LATELY))


def test_the_order_counts(world):
    backwards = LONG_AGO[::-1]
    assert not lists_of(world, LONG_AGO, **NEXT).equals(lists_of(world, backwards, **NEXT))


def test_nothing_from_the_as_of_date_on_is_read(world):
    known = lists_of(world, LONG_AGO, **NEXT)
    later = [("u1", "003", f"{AS_OF}T00:00:00Z", 5, "view")]
    world.write_drop("later.csv", later, COLUMNS)
    assert lists_of(world, LONG_AGO, **NEXT).equals(known)


def test_who_was_active_lately_is_told_by_the_dates(world):
    old = (CUT - timedelta(days=60)).isoformat()
    world.write_drop("old.csv", [("gone", f"00{n}", old, 5, "view") for n in range(3)], COLUMNS)
    world.settings["score"] = {"active_days": 40}
    assert set(lists_of(world, LONG_AGO, **NEXT)["user_id"]) == {f"u{n}" for n in range(7)}
    world.settings["score"] = {}
    assert "gone" in set(lists_of(world, LONG_AGO, **NEXT)["user_id"])


def test_a_model_that_reads_times_does_not_stand_in_for_one_that_does_not(world):
    lists_of(world, LATELY)
    night = stage_night(world.run(train=NEXT))
    assert sorted(ref.figures["by_order"] for ref in world.store.refs("models")) == [False, True]
    assert night.refs.model.figures["by_order"]


@pytest.mark.parametrize(("days", "asked"), [(None, "next"), (1, "as_of")])
def test_a_board_asks_what_it_holds_out(world, days, asked):
    dated = [(*pair, f"2024-03-0{1 + n // 10}T10:00:00Z", 5, "view") for n, pair in enumerate(ROWS)]
    world.write_drop("log.csv", dated, COLUMNS)
    config = world.configure()
    land_drops(open_landed(config), config, now=NOW)
    found = split_log(config, SplitRule(days), end=None, now=NOW)
    assert found.run(config, NOW).config.train.ask == asked
