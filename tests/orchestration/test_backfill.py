"""The backfill flow: every date is tried, what failed is listed, what is there is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId

from flows.backfill import backfill
from flows.cli import main
from flows.nightly import nightly
from pwrank.errors import ConfigError, PwrankError
from pwrank.locks import date_lease
from pwrank.publication import published_dates, read_current, read_publication
from pwrank.store import Store
from tests.faults.child import Night
from tests.faults.injection import Fault
from tests.faults.trials import BEFORE, Scene, Trial, copy_world, make_start
from tests.library.tiny_world import AS_OF, FIRST_DAY
from tests.orchestration.test_nightly import shown


def test_a_failing_day_is_listed_and_stops_no_other(world):
    state = backfill(world.config_file, FIRST_DAY, date(2024, 3, 3), return_state=True)
    error = state.result(raise_on_failure=False)
    assert isinstance(error, PwrankError)
    assert error.exit_code == 2
    assert str(error).startswith("1 of 3 dates failed:\n2024-03-01: ")
    assert published_dates(world.store) == [date(2024, 3, 2), date(2024, 3, 3)]
    assert read_current(world.store)["as_of"] == "2024-03-03"

    parent = FlowRunFilterParentFlowRunId(any_=[state.state_details.flow_run_id])
    with get_client(sync_client=True) as client:
        nights = client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent))
    told = {night.name: shown(night.id) for night in nights}
    assert told.keys() == {f"nightly-2024-03-0{day}" for day in (1, 2, 3)}
    assert "2024-03-01: failed" in told["nightly-2024-03-01"]["night"]
    assert "ingest" in told["nightly-2024-03-03"]["stages"]

    mended = backfill(world.config_file, date(2024, 3, 2), date(2024, 3, 4), missing_only=True)
    assert [day.outcome for day in mended] == 2 * ["already published"] + ["published"]


def test_a_failing_day_in_the_middle_is_listed_at_the_end_and_done_by_missing_only(world, capsys):
    where = ["backfill", "--config", str(world.config_file), "--from", "2024-03-06"]
    with date_lease(world.store.open(), date(2024, 3, 7), {"process": 7}):
        assert main([*where, "--to", "2024-03-08"]) == 4
    told = capsys.readouterr().err
    assert "pwrank: 1 of 3 dates failed:\n2024-03-07: " in told
    assert published_dates(world.store) == [date(2024, 3, 6), AS_OF]
    assert main([*where, "--to", "2024-03-08", "--missing-only"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2024-03-06  already published",
        "2024-03-07  published",
        "2024-03-08  already published",
    ]


def test_a_gate_that_refuses_days_of_a_range_is_overridden_by_name(world, capsys):
    world.configure(drift={"min_rows": 5})
    nightly(world.config_file, as_of=AS_OF - timedelta(days=2))
    (world.drops / "2024-03-06.csv").write_text(
        "user_id,item_id,timestamp,rating,event\nu00,000,2024-03-06T10:00:00Z,5,view\n"
    )
    dates = ["--from", "2024-03-06", "--to", "2024-03-08"]
    backfilled = ["backfill", "--config", str(world.config_file), *dates]
    assert main(backfilled) == 3
    told = capsys.readouterr().err
    assert "2 of 3 dates failed:\n2024-03-07: 2024-03-07 is not ranked" in told
    assert "  gate “drop rows”: 1 usable rows for 2024-03-06, usually 12" in told
    assert '--override drop-rows="why"' in told
    assert published_dates(world.store) == [date(2024, 3, 6)]

    assert main([*backfilled, "--override", "drop-rows=we were shut"]) == 0
    told = {day: read_publication(world.store, day) for day in published_dates(world.store)}
    overrides = {str(day): publication["overrides"] for day, publication in told.items()}
    assert overrides == {
        "2024-03-06": {},
        "2024-03-07": {"drop rows": "we were shut"},
        "2024-03-08": {},  # the drop is of the past by then
    }


@pytest.mark.parametrize("override", ["no-such=x", "drop-rows="])
def test_an_override_that_is_none_is_told_before_any_date_is_tried(world, capsys, override):
    dates = ["--from", "2024-03-06", "--to", "2024-03-08"]
    where = ["--config", str(world.config_file), *dates]
    assert main(["backfill", *where, "--override", override]) == 2
    assert f"pwrank: --override {override.partition('=')[0]}: " in capsys.readouterr().err
    assert not list(world.store.control.glob("manifests/**/*.json"))


RANGE = [AS_OF + timedelta(days=number) for number in range(3)]


@pytest.fixture(scope="module")
def ranges(tmp_path_factory, tiny_encoder, prefect_server):
    """Three dates after a published one, by `pwrank backfill`, undisturbed."""
    folder = tmp_path_factory.mktemp("ranges")
    start = make_start(folder / "start", tiny_encoder)
    return Scene.play(start, Night(folder / "range", AS_OF, api=prefect_server, until=RANGE[-1]))


@pytest.mark.parametrize(
    ("stage", "missing_only"),
    [("histories", False), ("models", True), ("staged", False), ("rankings", True)],
)
def test_a_range_killed_at_its_second_date_is_finished_by_the_same_command(
    ranges, tmp_path, stage, missing_only
):
    place = next(
        operation
        for operation in ranges.operations
        if f"{stage}/" in operation.path and f"as_of={RANGE[1]}" in operation.path
    )
    night = replace(ranges.night, missing_only=missing_only)
    world = copy_world(ranges.start, tmp_path / "world")
    trial = Trial(replace(ranges, night=night), world, Fault(place.number, "kill"))
    there = []

    def killed(trial):
        code = trial.meet_fault()
        there.extend(published_dates(Store(trial.lake)))
        return code

    trial.run(killed)
    assert trial.code == -9
    assert there == [BEFORE, RANGE[0]], place
    assert trial.wrong == [], place


def test_a_range_that_ends_before_it_begins_is_refused(world):
    with pytest.raises(ConfigError, match="swap them"):
        backfill(world.config_file, AS_OF, FIRST_DAY)
