"""The nightly flow through Prefect: what it publishes, what it redoes, what it shows."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)

from flows.cli import main
from flows.nightly import nightly
from flows.runs import refuse_future, scheduled_day
from pwrank.errors import ConfigError, GateRefusedError
from pwrank.publication import published_dates, read_rankings
from pwrank.stage_log import STAGE_ORDER, read_stage_records
from tests.library.tiny_world import AS_OF, some_items


def shown(flow_run_id) -> dict[str, str]:
    """The artifacts of a flow run by key."""
    told = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        return {a.key: str(a.data) for a in client.read_artifacts(artifact_filter=told)}


def records(world, as_of=AS_OF):
    return {record.stage: record for record in read_stage_records(world.store, as_of)}


def test_a_night_runs_end_to_end_and_a_second_run_recomputes_nothing(world):
    state = nightly(world.config_file, as_of=AS_OF, return_state=True)
    published = state.result()
    assert published.current
    assert read_rankings(world.store.lake).collect().height == published.rows > 0
    assert list(records(world)) == list(STAGE_ORDER)
    assert not any(record.reused for record in records(world).values())

    again = nightly(world.config_file, as_of=AS_OF)
    assert again.reused
    assert again.version == published.version
    assert all(record.reused for record in records(world).values())

    artifacts = shown(state.state_details.flow_run_id)
    assert artifacts.keys() == {"stages", "night"}
    assert all(stage in artifacts["stages"] for stage in STAGE_ORDER)
    assert f"{AS_OF}: published" in artifacts["night"]
    assert "user coverage" in artifacts["night"]
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
        same = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        tasks = {
            task.name.rsplit("-", 1)[0] for task in client.read_task_runs(flow_run_filter=same)
        }
    assert run.name == f"nightly-{AS_OF}"
    assert tasks == set(STAGE_ORDER)


def test_the_next_date_embeds_only_what_is_new(world):
    nightly(world.config_file, as_of=AS_OF)
    item = {"item_id": "new", "title": "word1 word2", "text": "word3", "category": "Books"}
    world.write_items([*some_items(), item | {"available": True}])
    nightly(world.config_file, as_of=AS_OF + timedelta(days=1))
    figures = records(world, AS_OF + timedelta(days=1))["embed"].figures
    assert figures["texts_encoded"] == 1
    assert figures["texts_reused"] > 1


def test_parameters_arrive_as_text_from_the_api(world):
    published = nightly(str(world.config_file), as_of=str(AS_OF), known_at="now")
    assert published.as_of == AS_OF


@pytest.mark.parametrize(
    ("scheduled", "zone", "day"),
    [
        ("2024-03-08T22:30+00:00", "Asia/Tokyo", date(2024, 3, 9)),
        ("2024-03-09T02:30+00:00", "America/New_York", date(2024, 3, 8)),
    ],
)
def test_the_default_date_is_the_scheduled_day_in_the_zone_however_late(
    monkeypatch, scheduled, zone, day
):
    started = SimpleNamespace(scheduled_start_time=datetime.fromisoformat(scheduled))
    monkeypatch.setattr("flows.runs.flow_run", started)
    assert scheduled_day(zone) == day


def test_a_refused_night_is_shown_with_its_gates_and_leaves_the_last_one_current(world):
    nightly(world.config_file, as_of=AS_OF)
    world.configure(gates={"max_same_list_share": 0.0})
    tomorrow = AS_OF + timedelta(days=1)
    state = nightly(world.config_file, as_of=tomorrow, return_state=True)
    error = state.result(raise_on_failure=False)
    assert isinstance(error, GateRefusedError)
    assert published_dates(world.store) == [AS_OF]
    artifacts = shown(state.state_details.flow_run_id)
    assert f"{tomorrow}: refused" in artifacts["night"]
    assert "| personal lists | **refused** |" in artifacts["night"]
    assert "publish" not in artifacts["stages"]


def test_a_date_that_lies_ahead_is_refused_and_tomorrow_is_not():
    now = datetime(2026, 11, 25, 10, tzinfo=UTC)
    refuse_future(date(2026, 11, 26), now)
    with pytest.raises(ConfigError, match="2027-11-24 lies in the future"):
        refuse_future(date(2027, 11, 24), now)


def test_a_night_without_its_encoder_is_published_and_says_so(world, tmp_path, capsys):
    encoder = tmp_path / "encoder"
    shutil.copytree(world.model, encoder)
    world.settings["encoder"] = {"model": str(encoder)}
    world.configure()
    nightly(world.config_file, as_of=AS_OF)
    shutil.rmtree(encoder)
    tomorrow = AS_OF + timedelta(days=1)
    state = nightly(world.config_file, as_of=tomorrow, return_state=True)
    assert state.result().current
    assert (
        "degraded | embeddings: last good vectors"
        in shown(state.state_details.flow_run_id)["night"]
    )
    assert main(["status", "--config", str(world.config_file)]) == 0
    assert "degraded, embeddings: last good vectors, 0 texts have none" in capsys.readouterr().out


def test_the_demo_runs_judges_and_shows_a_night_of_a_movielens_folder(
    tmp_path, tiny_encoder, monkeypatch, capsys
):
    source = tmp_path / "ml-tiny"
    source.mkdir()
    rng = random.Random(4)  # noqa: S311 - not for secrets
    films = "".join(f"{n},Film {n} (1999),Drama|Comedy\n" for n in range(1, 31))
    (source / "movies.csv").write_text(f"movieId,title,genres\n{films}")
    rated = sorted(946_684_800 + rng.randrange(30 * 86_400) for _ in range(600))
    rows = "".join(
        f"{rng.randrange(1, 25)},{rng.randrange(1, 31)},{rng.randrange(1, 6)},{when}\n"
        for when in rated
    )
    (source / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n{rows}")
    for name, value in {"ENCODER__MODEL": tiny_encoder, "SCORE__K": 5, "TRAIN__EPOCHS": 1}.items():
        monkeypatch.setenv(f"PWRANK__{name}", str(value))
    assert main(["demo", "--folder", str(tmp_path / "demo"), "--from", str(source)]) == 0
    told = capsys.readouterr().out
    for part in ("is published and current", "NDCG@10", "rankings ", "look closer "):
        assert part in told
