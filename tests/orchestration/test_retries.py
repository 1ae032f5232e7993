"""What may heal is tried again, what cannot heal is not, and one bad shard stops no other."""

from __future__ import annotations

import errno
import os
from datetime import timedelta

import pytest

import tasks.ingest
import tasks.score
from flows.nightly import nightly
from flows.runs import task_runner
from pwrank.config import RuntimeConfig
from pwrank.errors import DateHeldError, SourceError, is_transient
from pwrank.locks import date_lease
from tasks.retries import retry_options
from tests.library.tiny_world import AS_OF


def failing(times: int, error: BaseException, real, calls: list):
    """`real`, but the first calls raise."""

    def stage(*arguments, **options):
        calls.append(options.get("shard"))
        if len(calls) <= times:
            raise error
        return real(*arguments, **options)

    return stage


def test_an_io_error_heals_by_trying_again(world, monkeypatch):
    calls = []
    error = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(
        "tasks.ingest.ingest_drops", failing(1, error, tasks.ingest.ingest_drops, calls)
    )
    assert nightly(world.config_file, as_of=AS_OF).rows
    assert len(calls) == 2


def test_bad_input_is_not_tried_again(world, monkeypatch):
    calls = []
    error = SourceError("drops/1.csv: no column item_id")
    monkeypatch.setattr(
        "tasks.ingest.ingest_drops", failing(99, error, tasks.ingest.ingest_drops, calls)
    )
    with pytest.raises(SourceError, match="no column item_id"):
        nightly(world.config_file, as_of=AS_OF)
    assert len(calls) == 1


def test_one_bad_shard_stops_no_other_and_only_it_is_done_again(world, monkeypatch):
    real, scored = tasks.score.score_users, []

    def score_users(run, night, *, shard, progress):
        scored.append(shard)
        if shard == 0 and not healed:
            raise OSError(errno.EIO, "Input/output error")
        return real(run, night, shard=shard, progress=progress)

    healed = False
    monkeypatch.setattr("tasks.score.score_users", score_users)
    world.configure(score={"shards": 5})
    with pytest.raises(OSError, match="Input/output error"):
        nightly(world.config_file, as_of=AS_OF)
    assert sorted(scored) == [0, 0, 0, 1, 2, 3, 4]
    parts = [path.name for path in world.store.lake.glob("staged/**/part-*.parquet")]
    assert sorted(parts) == [f"part-{shard:05d}.parquet" for shard in range(1, 5)]
    healed = True
    assert nightly(world.config_file, as_of=AS_OF).rows


def test_a_date_that_is_held_ends_at_once_and_names_the_holder(world):
    with (
        date_lease(world.store.open(), AS_OF, {"process": 4711}),
        pytest.raises(DateHeldError, match="process 4711"),
    ):
        nightly(world.config_file, as_of=AS_OF)
    assert nightly(world.config_file, as_of=AS_OF + timedelta(days=1)).rows


def test_waits_grow_and_are_jittered():
    options = retry_options(RuntimeConfig(retries=4, retry_seconds=2.5))
    assert options["retry_delay_seconds"] == [2.5, 5.0, 10.0, 20.0]
    assert options["retry_jitter_factor"] > 0
    assert is_transient(TimeoutError())
    assert is_transient(RuntimeError(f"safetensors: {os.strerror(errno.ENOSPC)} (os error 28)"))
    assert not is_transient(SourceError(f"drop.csv: {os.strerror(errno.EIO)}"))
    assert not is_transient(FileNotFoundError())


def test_the_runner_of_the_shards_is_configured():
    assert task_runner(RuntimeConfig(task_runner="threads", parallel_shards=7))._max_workers == 7
    assert task_runner(RuntimeConfig(task_runner="sequential"))._max_workers == 1
