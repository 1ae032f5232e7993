"""Nothing that happened at or after the cut changes a byte of what a run makes."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest

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


def test_the_manifest_proves_what_was_the_latest_that_the_run_saw(night):
    manifest = night.run.store.control / "manifests" / "histories" / f"as_of={AS_OF}"
    (record,) = [json.loads(path.read_text()) for path in manifest.glob("*.json")]
    assert record["figures"]["latest_occurred_at"] < night.run.cut.isoformat()


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
