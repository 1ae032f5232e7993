"""The planner: what it says a night will do is what the night then does."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pwrank.plan_log import NightPlan, StagePlan, compare, read_plan, write_plan
from pwrank.planning.incoming import find_waiting
from pwrank.planning.night import Measure, plan_night
from pwrank.stage_log import STAGE_ORDER, StageRecord, write_stage_record
from tasks import planning
from tasks.planning import make_plan, note_plan
from tests.library.tiny_world import (
    AS_OF,
    NOW,
    USERS,
    some_interactions,
    some_items,
    stage_night,
)

TOMORROW = AS_OF + timedelta(days=1)


def quick(run, *, force=False, share_bytes=1_000_000):
    """A plan without measurements, on a clock that ticks."""
    ticks = itertools.count()
    measure = Measure(
        lambda: float(next(ticks)), lambda: 0, calibrate=False, tell=lambda _step: None
    )
    measure = replace(measure, share_bytes=share_bytes)
    return plan_night(run, measure, find_waiting(run), force=force)


def work(plan, stage):
    return plan.stage(stage).work


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def record(stage, seconds=2.0, rows=10, **figures):
    return StageRecord(
        stage, reused=False, rows=rows, seconds=seconds, peak_bytes=5, figures=figures
    )


@pytest.mark.parametrize("listed", [None, "user_id\nu00\nstranger\n"])
def test_the_first_night_does_what_the_plan_counted(tiny_world, listed):
    if listed:
        (tiny_world.folder / "users.csv").write_text(listed, encoding="utf-8")
        tiny_world.settings["source"] = {"users": "users.csv"}
    run = tiny_world.run()
    plan = quick(run)
    night = stage_night(tiny_world.run())
    histories, catalogue = night.known.histories, night.known.catalogue
    told = work(plan, "ingest")
    assert told["interactions"] == histories.rows
    assert told["users"] == histories.figures["users"]
    assert told["items"] == catalogue.rows
    assert told["rows"] == sum(table["rows_in"] for table in night.known.landed.values())
    assert told["files"] == sum(table["files"] for table in night.known.landed.values())
    assert work(plan, "embed")["texts_to_encode"] == night.refs.embeddings.figures["texts_encoded"]
    assert work(plan, "publish")["rows"] >= night.staged.rows
    assert [stage.stage for stage in plan.stages] == list(STAGE_ORDER)
    assert not any(stage.reused for stage in plan.stages)
    assert plan.stage("train").why == "no model of this encoder and [train] section yet"


def test_a_plan_leaves_nothing_behind(tiny_world):
    run = tiny_world.run()
    before = files(tiny_world.folder)
    quick(run)
    assert files(tiny_world.folder) == before


def test_a_night_that_was_published_is_all_reused(trained_world):
    stage_night(trained_world.run()).publish()
    plan = quick(trained_world.run())
    assert all(stage.reused for stage in plan.stages), plan


def test_the_next_night_encodes_what_is_new_and_trains_when_due(trained_world):
    stage_night(trained_world.run()).publish()
    item = {"item_id": "new", "title": "word1 word2", "text": "word3", "category": "Books"}
    trained_world.write_items([*some_items(), item | {"available": True}])
    plan = quick(trained_world.run(as_of=TOMORROW, now=NOW + timedelta(days=1)))
    assert work(plan, "embed")["texts_to_encode"] == 1
    assert plan.stage("train").reused
    assert not plan.stage("score").reused
    later = trained_world.run(as_of=AS_OF + timedelta(days=7), now=NOW + timedelta(days=7))
    assert plan_text(quick(later)) == "the newest model is 7 days old, every_days = 7"
    asked = trained_world.run(as_of=TOMORROW, now=NOW + timedelta(days=1))
    assert plan_text(quick(asked, force=True)) == "asked for"


def plan_text(plan):
    return plan.stage("train").why


def test_shards_that_are_done_are_not_counted_again(trained_world):
    night = stage_night(trained_world.run())
    folder = trained_world.store.folder("staged", AS_OF, night.staged.key)
    (folder / "part-00001.parquet").unlink()
    plan = quick(trained_world.run())
    assert plan.stage("score").why == "1 of 3 shards"
    assert work(plan, "score")["users"] == round(night.known.histories.figures["users"] / 3)


def test_a_share_of_many_files_stands_for_all_of_them(tiny_world):
    for number in range(60):
        day = AS_OF - timedelta(days=number)
        tiny_world.write_drop(f"more-{number:02d}.csv", some_interactions(day))
    everything = quick(tiny_world.run())
    share = quick(tiny_world.run(), share_bytes=12_000)
    for name in ("rows", "interactions", "users"):
        assert work(share, "ingest")[name] == pytest.approx(
            work(everything, "ingest")[name], rel=0.2
        )


@pytest.mark.parametrize("name", ["one.csv", "one.csv.gz", "one.parquet"])
def test_of_a_large_file_the_beginning_stands_for_the_rest(tiny_world, name):
    columns = ("user_id", "item_id", "timestamp")
    since = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp())
    rows = [
        {"user_id": f"u{n % 700:03d}", "item_id": f"{n % 20:03d}", "timestamp": since + n}
        for n in range(100_000)
    ]
    for path in tiny_world.drops.glob("*.csv"):
        path.unlink()
    frame = pl.DataFrame(rows).select(columns)
    path = tiny_world.drops / name
    if name.endswith("parquet"):
        frame.write_parquet(path, compression="uncompressed")
    elif name.endswith("gz"):
        import gzip

        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(path)
    told = work(quick(tiny_world.run(), share_bytes=path.stat().st_size // 4), "ingest")
    rows_of_items = len(some_items())
    assert told["rows"] - rows_of_items == pytest.approx(100_000, rel=0.2)
    assert told["users"] == pytest.approx(700, rel=0.1)


@pytest.mark.parametrize("users", ["the same every day", "others every day"])
def test_users_grow_with_the_days_only_where_each_day_brings_others(tiny_world, users):
    for path in tiny_world.drops.glob("*.csv"):
        path.unlink()
    for day in range(80):
        first = 0 if users == "the same every day" else 5 * day
        when = f"2024-02-01T00:{day % 60:02d}:00"
        # Each user does much at once: a random half of the rows still knows nearly all users.
        rows = [(f"v{first + n % 5}", f"{n:03d}", when, 3, "view") for n in range(20)]
        tiny_world.write_drop(f"day-{day:02d}.csv", rows)
    size = sum(path.stat().st_size for path in tiny_world.drops.glob("*.csv"))
    told = work(quick(tiny_world.run(), share_bytes=size // 4), "ingest")
    assert told["users"] == pytest.approx(5 if users == "the same every day" else 400, rel=0.1)


def test_seconds_are_measured_where_no_night_tells_them(tiny_world):
    run = tiny_world.run()
    plan = make_plan(run)
    assert plan == read_plan(run.store, AS_OF)
    assert all(stage.seconds > 0 for stage in plan.stages)
    train = plan.stage("train")
    assert train.seconds <= train.seconds_most
    assert train.flops > 0
    assert plan.stage("embed").flops > 0
    assert all(stage.peak_bytes > 100e6 for stage in plan.stages)


def test_without_measuring_and_without_earlier_nights_seconds_are_not_invented(tiny_world):
    plan = quick(tiny_world.run())
    assert plan.stage("train").seconds is None
    assert plan.stage("embed").seconds is None
    assert plan.stage("score").seconds is None


def test_earlier_nights_tell_the_seconds_in_proportion_to_the_work(trained_world):
    night = stage_night(trained_world.run())
    night.publish()
    kind = night.refs.model.figures["kind"]
    rows = night.known.histories.rows
    for one in (
        record("ingest", landing_seconds=1.0),
        record("embed", 20.0, tokens=90_000, texts_encoded=9_000),
        record(
            "train",
            100.0,
            rows,
            kind=kind,
            epochs_run=8,
            seconds_per_epoch=10.0,
            metrics={"epochs": 2},
        ),
        record("score", 50.0, rows=999, pairs=night.staged.figures["users"] * 12),
    ):
        write_stage_record(trained_world.store, AS_OF, one)
    later = AS_OF + timedelta(days=7)
    trained_world.write_items([*some_items(), some_items()[0] | {"item_id": "n", "title": "word9"}])
    plan = quick(trained_world.run(as_of=later, now=datetime(2024, 3, 30, tzinfo=UTC)))
    grown = work(plan, "ingest")["interactions"] / rows
    train = plan.stage("train")
    assert train.work["seconds_per_epoch"] == pytest.approx(10 * grown)
    assert train.work["seconds_besides"] == pytest.approx(20 * grown)
    epochs = train.work["search_epochs"] + train.work["final_epochs"]
    assert train.seconds == pytest.approx((20 + 10 * epochs) * grown)
    assert plan.stage("embed").seconds == pytest.approx(20 * 10_010 / 100_000, rel=0.01)
    users = work(plan, "score")["users"] / night.staged.figures["users"]
    assert plan.stage("score").seconds == pytest.approx(50 * users)


def test_longer_lists_take_no_more_seconds_to_score_but_more_candidates_do(trained_world):
    night = stage_night(trained_world.run())
    night.publish()
    for shard in range(3):
        write_stage_record(trained_world.store, AS_OF, record(f"score-{shard:05d}", pairs=1000))
    seconds = []
    for score in ({"k": 5}, {"k": 10}, {"candidates": 24}):
        trained_world.settings["score"] = score
        seconds.append(quick(trained_world.run(as_of=TOMORROW), force=True).stage("score").seconds)
    assert seconds[0] == seconds[1] == pytest.approx(seconds[2] / 2)


def test_a_training_is_compared_by_the_epochs_that_it_took():
    stage = StagePlan(
        "train", False, "", {"seconds_besides": 20.0, "seconds_per_epoch": 3.0}, seconds=99.0
    )
    plan = NightPlan(AS_OF, "", "", (stage,))
    (compared,) = compare(plan, [record("train", 50.0, epochs_run=10)])
    assert compared.planned_seconds == 50.0
    assert compared.off_by == 0.0
    (compared,) = compare(None, [record("train")])
    assert compared.planned_seconds is None


def test_a_run_keeps_the_plan_that_was_made_for_it_and_makes_one_otherwise(tiny_world):
    run = tiny_world.run()
    note_plan(run)
    made = read_plan(run.store, AS_OF)
    write_plan(run.store, replace(made, measured="by hand"))
    note_plan(run)
    assert read_plan(run.store, AS_OF).measured == "by hand"
    tiny_world.write_drop("late.csv", [(USERS[0], "001", "2024-03-02", 3, "view")])
    note_plan(run)
    assert read_plan(run.store, AS_OF).measured == "earlier nights"


def test_a_night_that_cannot_be_planned_may_still_run(tiny_world, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr(planning, "plan_night", broken)
    note_plan(tiny_world.run())
    assert read_plan(tiny_world.store, AS_OF) is None


def test_the_page_shows_plan_against_actual(trained_world):
    from pwrank.report.night import report_path, write_night_report

    run = trained_world.run()
    night = stage_night(run)
    metrics = night.evaluate()
    write_stage_record(run.store, AS_OF, record("embed", 2.0))
    write_plan(run.store, NightPlan(AS_OF, "", "", (StagePlan("embed", False, "", seconds=77.0),)))
    write_night_report(
        run, night.refs, staged=night.staged, metrics=metrics, gates=[], refusal=None
    )
    page = report_path(run.store, AS_OF).read_text()
    assert "1 min 17 s" in page


def test_the_command_tells_it_as_text_and_as_data(tiny_world, command):
    told = command("plan", "--config", tiny_world.config_file, "--as-of", AS_OF)
    assert told.code == 0, told.err
    assert "no model of this encoder" in told.out
    assert re.search(r", 2 of at most 2 search epochs, [12] of at most 2 final epochs\n", told.out)
    data = json.loads(
        command("plan", "--config", tiny_world.config_file, "--as-of", AS_OF, "--json").out
    )
    assert data["seconds"] > 0
    scoring = next(stage["seconds"] for stage in data["stages"] if stage["stage"] == "score")
    everything = sum(stage["seconds"] for stage in data["stages"])
    assert data["seconds"] == pytest.approx(everything - scoring / 2)
    assert [stage["stage"] for stage in data["stages"]] == list(STAGE_ORDER)


def test_shards_that_run_one_at_a_time_are_planned_so(tiny_world, command):
    tiny_world.settings = {"runtime": {"task_runner": "sequential"}}
    tiny_world.configure()
    data = json.loads(
        command("plan", "--config", tiny_world.config_file, "--as-of", AS_OF, "--json").out
    )
    assert data["seconds"] == pytest.approx(sum(stage["seconds"] for stage in data["stages"]))
