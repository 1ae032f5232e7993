"""The input against the last nights: what is told of each column, what is refused, what is not."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from flows.console import stage_table
from pwrank.errors import GateRefusedError, SourceError
from pwrank.gates.arrival import notices_of, read_drift
from pwrank.gates.drop_profiles import compare_column, pooled, profile_column
from pwrank.gates.stability import psi, psi_of_values
from pwrank.ingest import ingest, land_drops
from pwrank.publication import publication_path, read_publication
from pwrank.report.night import report_path, write_refused_input
from pwrank.stage_log import StageRecord, write_stage_record
from tests.library.lively_world import (
    NEXT_NOW,
    START,
    TOMORROW,
    TONIGHT,
    lively_interactions,
    lively_items,
    make_lively_world,
)
from tests.library.tiny_world import COLUMNS, stage_night

DROP = f"{TONIGHT}.csv"


def ingest_next(world, now=NEXT_NOW, **options):
    return ingest(world.run(as_of=TOMORROW, now=now, **options))


def refused(world, **options) -> GateRefusedError:
    with pytest.raises(GateRefusedError) as caught:
        ingest_next(world, **options)
    assert [ref for ref in world.store.refs("histories") if ref.as_of == TOMORROW] == []
    return caught.value


def test_each_column_of_the_new_drops_is_told_against_the_usual(lively_world):
    ingest_next(lively_world)
    report = read_drift(lively_world.store, TOMORROW)
    table = report["tables"]["interactions"]
    assert (report["with"], table["drops"]) == (str(TONIGHT), [DROP])
    assert (table["rows"], table["usual_rows"]) == (160, 160.0)
    assert set(table["columns"]) == {
        "user_id", "item_id", "event", "occurred_at", "rating", "weight",
    }  # fmt: skip
    rating = table["columns"]["rating"]
    assert rating["empty_share"] == rating["usual"]["empty_share"] == 0.0
    assert 0.0 < rating["psi"] < 0.25
    assert table["columns"]["event"]["psi"] < 0.01
    assert sum(rating["counts"].values()) == 160
    assert all(verdict["passed"] for verdict in report["verdicts"])


def test_no_id_is_kept_in_a_profile(lively_world):
    ingest_next(lively_world)
    kept = list((lively_world.store.control / "profiles").rglob("*.json"))
    assert len(kept) >= 10
    assert not any('"p0' in path.read_text(encoding="utf-8") for path in kept)


def test_the_first_night_ever_has_nothing_to_be_compared_with(tmp_path, tiny_encoder):
    world = make_lively_world(tmp_path, tiny_encoder)
    world.write_drop("short.csv", lively_interactions(START)[:3])
    ingest(world.run(as_of=TONIGHT, now=NEXT_NOW))
    report = read_drift(world.store, TONIGHT)
    assert report["with"] is None
    assert report["tables"] == {}
    assert all(verdict["passed"] for verdict in report["verdicts"])


def test_a_column_that_vanished_is_refused(lively_world):
    without = [(*row[:3], row[4]) for row in lively_interactions(TONIGHT)]
    lively_world.write_drop(DROP, without, columns=[c for c in COLUMNS if c != "rating"])
    told = str(refused(lively_world))
    assert "gate “drop columns”: rating is empty in 100% of the rows" in told
    assert f"e.g. interactions: {DROP}" in told
    assert '--override drop-columns="why"' in told


def test_events_that_nobody_has_heard_of_are_refused(lively_world):
    renamed = [(*row[:4], "VIEW_ITEM") for row in lively_interactions(TONIGHT)]
    lively_world.write_drop(DROP, renamed)
    assert "event has values never heard of: VIEW_ITEM" in str(refused(lively_world))


def test_a_required_column_that_vanished_is_bad_input(lively_world):
    rows = [row[1:] for row in lively_interactions(TONIGHT)]
    lively_world.write_drop(DROP, rows, columns=COLUMNS[1:])
    with pytest.raises(SourceError, match="user_id"):
        ingest_next(lively_world)


@pytest.mark.parametrize(("column", "gate"), [(0, "drop users"), (1, "drop items")])
def test_ids_that_nobody_has_seen_are_refused(lively_world, column, gate):
    rows = [list(row) for row in lively_interactions(TONIGHT)]
    for row in rows:
        row[column] = f"new-{row[column]}"
    lively_world.write_drop(DROP, rows)
    told = str(refused(lively_world))
    assert f"gate “{gate}”: 1.000 of the rows have an unseen" in told
    assert "new-" in told


def test_a_file_that_lost_nine_tenths_against_the_one_it_replaces_is_refused(lively_world):
    first = f"{START}.csv"
    lively_world.write_drop(first, lively_interactions(START)[:10])
    told = str(refused(lively_world))
    assert "gate “drop rows”: 10 usable rows, the file that it replaces had 160" in told


@pytest.mark.parametrize("named", [0, 8])
def test_a_drop_whose_rows_name_no_user_is_refused(lively_world, named):
    rows = lively_interactions(TONIGHT)
    lively_world.write_drop(DROP, rows[:named] + [("", *row[1:]) for row in rows[named:]])
    told = str(refused(lively_world))
    assert "gate “drop rows”: " in told
    if named:
        assert f"{named} usable rows for {TONIGHT}, usually 160" in told
    else:
        assert "none of 160 rows can be used, most because “user_id is missing”" in told
        assert DROP in told
    why = {"drop rows": "the tracker was down"}
    ingest_next(lively_world, now=NEXT_NOW + timedelta(hours=1), overrides=why)


RETURNS = {"clean": {"reject": [{"reason": "a return", "column": "event", "matches": "^return$"}]}}


def returns(rows=160):
    return [(*row[:4], "return") for row in lively_interactions(TONIGHT, rows=rows)]


def test_rows_that_a_declared_rule_sets_aside_are_no_damage(lively_world):
    lively_world.write_drop(f"{TONIGHT}-returns.csv", returns())
    ingest_next(lively_world, **RETURNS)
    assert all(
        verdict["passed"] for verdict in read_drift(lively_world.store, TOMORROW)["verdicts"]
    )


def test_damage_beside_rows_that_a_declared_rule_sets_aside_is_refused(lively_world):
    nobody = [("", *row[1:]) for row in lively_interactions(TONIGHT)[:120]]
    lively_world.write_drop(f"{TONIGHT}-returns.csv", [*returns(), *nobody])
    told = str(refused(lively_world, **RETURNS))
    assert "none of 120 rows can be used, most because “user_id is missing”" in told


def test_a_file_whose_rows_became_ones_that_a_rule_sets_aside_is_refused(lively_world):
    lively_world.write_drop(f"{START}.csv", returns())
    told = str(refused(lively_world, **RETURNS))
    assert "gate “drop rows”: 0 usable rows, the file that it replaces had 160" in told


@pytest.mark.parametrize("rows", [[], returns()])
def test_a_drop_without_usable_rows_makes_no_day_of_its_own(lively_world, rows):
    lively_world.write_drop(DROP, [])
    lively_world.write_drop(f"{TONIGHT}-b.csv", rows)
    stage_night(lively_world.run(as_of=TOMORROW, now=NEXT_NOW, **RETURNS)).publish()
    for days in (1, 2):
        later = {"as_of": TOMORROW + timedelta(days=days), "now": NEXT_NOW + timedelta(days=days)}
        assert ingest(lively_world.run(**later, **RETURNS)).histories.rows


def test_a_file_of_few_unusable_rows_is_no_broken_drop(lively_world):
    few = [("", *row[1:]) for row in lively_interactions(TONIGHT)[:50]]
    lively_world.write_drop(f"{TONIGHT}-late.csv", few)
    ingest_next(lively_world)


def test_a_refused_drop_is_refused_until_it_is_mended_or_overridden(lively_world):
    lively_world.write_drop(DROP, lively_interactions(TONIGHT)[:5])
    refused(lively_world)
    later = NEXT_NOW + timedelta(hours=1)
    refused(lively_world, now=later)
    why = {"drop rows": "a holiday"}
    night = stage_night(
        lively_world.run(as_of=TOMORROW, now=later + timedelta(hours=1), overrides=why)
    )
    night.publish()
    publication = read_publication(lively_world.store, TOMORROW)
    assert publication["overrides"] == why
    (told,) = [gate for gate in publication["gates"] if gate["gate"] == "drop rows"]
    assert (told["passed"], told["override"]) == (False, "a holiday")
    again = stage_night(lively_world.run(as_of=TOMORROW, now=later + timedelta(days=1))).publish()
    assert again.reused
    # So it is after its record is gone, by retention or because it was damaged; with rows that
    # came late it is another input.
    publication_path(lively_world.store, TOMORROW).unlink()
    night = stage_night(lively_world.run(as_of=TOMORROW, now=later + timedelta(days=2)))
    assert not night.publish().reused
    assert read_publication(lively_world.store, TOMORROW)["overrides"] == why
    lively_world.write_drop(f"{TONIGHT}-late.csv", lively_interactions(TONIGHT)[5:7])
    late = later + timedelta(days=3)
    with pytest.raises(GateRefusedError, match="drop rows"):
        ingest_next(lively_world, now=late, known_at=late)


def test_a_refused_input_has_a_page_that_says_why_and_what_came_in(lively_world):
    lively_world.write_drop(DROP, lively_interactions(TONIGHT)[:5])
    run = lively_world.run(as_of=TOMORROW, now=NEXT_NOW)
    with pytest.raises(GateRefusedError) as caught:
        ingest(run)
    write_refused_input(run, caught.value)
    page = report_path(lively_world.store, TOMORROW).read_text(encoding="utf-8")
    for part in ("drop rows", "✕ refused", "What came in", "5 rows in 1 files, usually 160 a day"):
        assert part in page
    assert json.loads(report_path(lively_world.store, TOMORROW).with_name("drift.json").read_text())


def test_a_broken_drop_that_a_run_beside_this_one_landed_is_refused_too(lively_world):
    lively_world.write_drop(DROP, lively_interactions(TONIGHT)[:5])
    config = lively_world.run(as_of=TOMORROW, now=NEXT_NOW).config
    land_drops(lively_world.store, config, now=NEXT_NOW + timedelta(seconds=5))
    assert "drop rows" in str(refused(lively_world))


# --- what is honest ---------------------------------------------------------------------------


def test_a_day_without_a_drop_is_no_broken_drop(lively_world):
    (lively_world.drops / DROP).unlink()
    assert ingest_next(lively_world).histories.rows


def test_a_few_late_rows_are_added_to_their_day(lively_world):
    lively_world.write_drop("late.csv", lively_interactions(START + timedelta(days=3), rows=4))
    assert ingest_next(lively_world).histories.rows


def test_a_day_in_many_small_files_is_as_large_as_in_one(lively_world):
    (lively_world.drops / DROP).unlink()
    for hour, rows in enumerate(range(0, 160, 8)):
        part = lively_interactions(TONIGHT)[rows : rows + 8]
        lively_world.write_drop(f"{TONIGHT}-{hour:02d}.csv", part)
    assert ingest_next(lively_world).histories.rows


def test_quiet_and_busy_days_are_honest(lively_world):
    for rows in (30, 1600):
        lively_world.write_drop(DROP, lively_interactions(TONIGHT, rows=rows))
        assert ingest_next(lively_world, now=NEXT_NOW + timedelta(minutes=rows)).histories.rows


@pytest.mark.parametrize(("rows", "few"), [(30, True), (79, True), (80, False), (1600, False)])
def test_a_day_with_less_than_half_of_the_least_usual_day_is_told_and_not_refused(
    lively_world, rows, few
):
    lively_world.write_drop(DROP, lively_interactions(TONIGHT, rows=rows))
    histories = ingest_next(lively_world).histories
    known = histories.rows
    notices = notices_of(read_drift(lively_world.store, TOMORROW), histories, TOMORROW)
    record = StageRecord("ingest", False, known, 1.0, 1, {"notices": notices})
    write_stage_record(lively_world.store, TOMORROW, record)
    answer, _ = stage_table(lively_world.configure(), TOMORROW)
    notice = read_drift(lively_world.store, TOMORROW)["tables"]["interactions"]["notice"]
    told = f"few rows: {rows} for {TONIGHT}, on the 9 usual days at least 160; is a file missing"
    assert notice.startswith(told) if few else not notice
    assert (told in answer) == few


def test_items_may_come_as_full_dumps_and_as_changes(tmp_path, tiny_encoder):
    world = make_lively_world(tmp_path, tiny_encoder)
    (world.folder / "items.jsonl").unlink()
    source = {"source": {"items": "items"}}
    (world.folder / "items").mkdir()
    world.write_items(lively_items(), "items/0.jsonl")
    stage_night(world.run(as_of=TONIGHT, now=NEXT_NOW, **source)).publish()
    for number, count in enumerate((1, 120, 2, 3, 1, 120, 120, 2)):
        world.write_items(lively_items()[-count:], f"items/{number + 1}.jsonl")
        now = NEXT_NOW + timedelta(hours=number + 1)
        ingest(world.run(as_of=TOMORROW, now=now, **source))
        assert all(verdict["passed"] for verdict in read_drift(world.store, TOMORROW)["verdicts"])


def test_a_log_whose_visitors_come_once_may_have_only_new_users(tmp_path, tiny_encoder):
    world = make_lively_world(tmp_path, tiny_encoder)
    for number in range(10):
        day = START + timedelta(days=number)
        rows = [(f"{day}-{row[0]}", *row[1:]) for row in lively_interactions(day)]
        world.write_drop(f"{day}.csv", rows)
    stage_night(world.run(as_of=TONIGHT, now=NEXT_NOW)).publish()
    later = NEXT_NOW + timedelta(days=1)
    ingest(world.run(as_of=TOMORROW, now=later))
    verdicts = {v["gate"]: v for v in read_drift(world.store, TOMORROW)["verdicts"]}
    assert verdicts["drop users"]["figure"].startswith("1.000 of the rows have an unseen user_id")
    assert verdicts["drop users"]["passed"]


# --- the measures -----------------------------------------------------------------------------


def test_psi_is_zero_of_the_same_and_grows_with_the_distance():
    rng = random.Random(1)  # noqa: S311 - not for secrets
    values = pl.Series([rng.gauss(0, 1) for _ in range(5000)]).to_numpy()
    assert psi([5, 5], [5, 5]) == 0.0
    assert psi_of_values(values, values) < 1e-9
    shifts = [psi_of_values(values, values + shift) for shift in (0.1, 0.5, 2.0)]
    assert shifts == sorted(shifts)
    assert shifts[0] < 0.1
    assert shifts[2] > 0.25
    assert psi_of_values(values, values[:0]) == 0.0


@pytest.mark.parametrize(
    "values",
    [
        pl.Series("rating", [1.0, 2.0, None, 5.0], dtype=pl.Float32),
        pl.Series("weight", [float(n) for n in range(200)], dtype=pl.Float32),
        pl.Series("title", ["", "a", None, "long title"]),
        pl.Series("user_id", [1, 2, 2, 3]),
        pl.Series("event", ["view", "buy", "view", None]),
        pl.Series("available", [True, False, True, True]),
        pl.Series("occurred_at", [datetime(2024, 1, 1, 5, tzinfo=UTC)] * 4),
        pl.Series("rating", [None, None], dtype=pl.Float32),
        pl.Series("item_id", [], dtype=pl.String),
    ],
)
def test_any_column_has_a_profile_that_does_not_differ_from_itself(values):
    profile = {"rows": len(values), "columns": {values.name: profile_column(values)}}
    json.dumps(profile)
    side = pooled([profile, profile])["columns"][values.name]
    line = compare_column(side, side)
    assert 0.0 <= line["empty_share"] <= 1.0
    assert line["psi"] is None or line["psi"] < 0.02
