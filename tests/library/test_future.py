"""Nothing that happened at or after the cut changes a byte of what a run makes."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import polars as pl
import pytest

from pwrank.errors import ContractError
from pwrank.horizon import horizon_of
from pwrank.publication import published_dates, read_publication
from tests.library.tiny_world import (
    AS_OF,
    FIRST_DAY,
    NOW,
    make_world,
    some_interactions,
    some_items,
    stage_night,
)

AFTER = [
    ("u00", "000", "2024-03-08T00:00:00Z", 5, "view"),
    ("u01", "001", "2024-03-08T00:00:01Z", 1, "never seen before"),
    ("stranger", "007", "2024-03-15T10:00:00Z", 5, "view"),
    ("u02", "unheard-of", "2024-03-19T10:00:00Z", 4, "view"),
    ("u03", "003", "2029-01-01T10:00:00Z", 4, "view"),
]


def files_of(night, ref):
    return {path.name: path.read_bytes() for path in ref.file_paths(night.run.store.lake)}


def figures_of(night):
    figures = dict(night.known.histories.figures)
    return {name: figures[name] for name in ("users", "latest_occurred_at")}


@pytest.fixture
def planted(tmp_path, tiny_encoder):
    """The same world with future rows inside a past drop, in a new drop, and future items."""
    world = make_world(tmp_path / "planted", tiny_encoder)
    world.write_drop("2024-03-02.csv", some_interactions(FIRST_DAY + timedelta(days=1)) + AFTER)
    world.write_drop("2024-03-16.csv", AFTER)
    news = {"item_id": "000", "title": "changed", "updated_at": "2024-03-08T00:00:00Z"}
    fresh = {"item_id": "zzz", "title": "not there yet", "updated_at": "2024-03-12"}
    world.write_items([*some_items(), news, fresh])
    return stage_night(world.run())


def test_planted_future_events_and_items_change_no_byte(night, planted):
    for name in ("histories", "catalogue"):
        assert files_of(planted, getattr(planted.known, name)) == files_of(
            night, getattr(night.known, name)
        )
    assert files_of(planted, planted.staged) == files_of(night, night.staged)
    assert figures_of(planted) == figures_of(night)


def published(night):
    """Every published file of a lake, by name and bytes."""
    folder = night.run.store.lake / "rankings"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_planted_future_events_and_items_change_no_published_byte(night, planted):
    planted.publish()
    assert published(planted) == published(night)


def test_every_manifest_proves_what_was_the_latest_that_its_stage_saw(night):
    store, cut = night.run.store, night.run.cut.isoformat()
    refs = [*night.refs.refs(), night.staged, night.evaluate()]
    for ref in refs:
        seen = ref.figures["seen_until"]
        assert seen["ingested_at"] == NOW.isoformat(), ref.name
    logged = [ref.figures["seen_until"]["occurred_at"] for ref in refs if ref.name != "catalogue"]
    assert {moment for moment in logged if moment} == {logged[0]}
    assert logged[0] < cut
    told = read_publication(store, AS_OF)
    assert told["seen_until"] == {"occurred_at": logged[0], "ingested_at": NOW.isoformat()}
    assert (told["cut"], told["known_at"]) == (cut, NOW.isoformat())


def test_a_row_of_the_future_in_an_input_stops_the_stage(night):
    late = dataclasses.replace(
        night.refs.histories, figures={"seen_until": {"occurred_at": night.run.cut.isoformat()}}
    )
    with pytest.raises(ContractError, match="is in what was known before 2024-03-08"):
        horizon_of(night.run.cut, night.refs.catalogue, late)


def test_rows_landed_by_a_run_beside_this_one_are_known_to_both(tiny_world):
    later = NOW + timedelta(seconds=5)
    tiny_world.ingest(as_of=AS_OF - timedelta(days=1), now=later)
    first = stage_night(tiny_world.run(now=NOW))
    first.publish()
    assert first.known.landed["interactions"]["files"] == 0
    assert read_publication(tiny_world.store, AS_OF)["known_at"] == later.isoformat()
    assert stage_night(tiny_world.run(now=NOW + timedelta(days=1))).staged.key == first.staged.key


def test_a_retired_date_is_repeated_as_it_was_known_with_the_ranker_that_it_had(tiny_world):
    one_night = {"publish": {"keep_nights": 1}}
    first = stage_night(tiny_world.run(**one_night))
    first.publish()
    lists = first.rankings
    stage_night(tiny_world.run(as_of=AS_OF + timedelta(days=1), **one_night)).publish()
    assert published_dates(tiny_world.store) == [AS_OF + timedelta(days=1)]
    tiny_world.write_drop("late.csv", [("u00", "019", "2024-03-02T10:00:00Z", 5, "view")])
    again = stage_night(tiny_world.run(now=NOW + timedelta(days=30), **one_night))
    assert again.known.landed["interactions"]["files"] == 1
    assert again.staged.key == first.staged.key
    assert again.rankings.equals(lists)


def test_a_ranker_trained_for_an_earlier_date_meanwhile_does_not_change_the_past(tiny_world):
    stage_night(tiny_world.run(as_of=AS_OF - timedelta(days=2)))
    first = stage_night(tiny_world.run())
    first.publish()
    between = tiny_world.run(as_of=AS_OF - timedelta(days=1), train={"every_days": 1})
    assert stage_night(between).refs.model.as_of == AS_OF - timedelta(days=1)
    again = stage_night(tiny_world.run(now=NOW + timedelta(days=1)))
    assert again.refs.model == first.refs.model
    assert again.staged.key == first.staged.key


def test_the_cut_is_midnight_in_the_configured_zone(tiny_world):
    late = ("u00", "001", "2024-03-07T16:00:00Z", 5, "view")
    tiny_world.write_drop("late.csv", [late])
    tokyo = tiny_world.run(time_zone="Asia/Tokyo")
    assert tokyo.cut.isoformat() == "2024-03-07T15:00:00+00:00"
    known = tiny_world.ingest(time_zone="Asia/Tokyo")
    rows = pl.read_parquet(
        [p for p in known.histories.file_paths(tiny_world.store.lake) if "part" in p.name]
    )
    assert rows["occurred_at"].max() < tokyo.cut


def test_a_published_date_is_repeated_as_it_was_known_until_told_otherwise(tiny_world):
    first = stage_night(tiny_world.run())
    first.publish()
    tiny_world.write_drop("late.csv", [("u00", "019", "2024-03-02T10:00:00Z", 5, "view")])
    later = NOW + timedelta(days=2)
    again = stage_night(tiny_world.run(now=later))
    assert again.known.landed["interactions"]["files"] == 1
    assert again.staged.key == first.staged.key
    told = stage_night(tiny_world.run(now=later, known_at=later))
    assert told.known.histories.rows == first.known.histories.rows + 1


def test_the_same_night_twice_recomputes_nothing(tiny_world):
    stage_night(tiny_world.run()).publish()
    again = stage_night(tiny_world.run(now=NOW + timedelta(days=1)))
    assert all(ref.reused for ref in (*again.refs.refs(), again.staged))
    assert again.publish().reused


def test_other_shards_give_the_same_rows_to_the_last_bit(tiny_world):
    lists = stage_night(tiny_world.run()).rankings.sort("user_id", "rank")
    for shards in (1, 2, 5):
        night = stage_night(tiny_world.run(score={"shards": shards}))
        assert night.rankings.sort("user_id", "rank").equals(lists), shards
