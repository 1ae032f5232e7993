"""The backfill flow: every date is tried, what failed is listed, what is there is left alone."""

from __future__ import annotations

from datetime import date

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId

from flows.backfill import backfill
from pwrank.errors import ConfigError, PwrankError
from pwrank.publication import published_dates, read_current
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


def test_a_range_that_ends_before_it_begins_is_refused(world):
    with pytest.raises(ConfigError, match="swap them"):
        backfill(world.config_file, AS_OF, FIRST_DAY)
