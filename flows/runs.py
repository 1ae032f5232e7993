"""What the flows share: opening a run, its default date, its runner, its retries, its record."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast
from zoneinfo import ZoneInfo

from prefect import Task, unmapped
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.run_page import shown_in_ui
from pwrank.config import Config, RuntimeConfig
from pwrank.config_file import load_config
from pwrank.datasets import DatasetRef
from pwrank.errors import ConfigError, PwrankError
from pwrank.gates.verdicts import checked_overrides
from pwrank.ingest import Ingested
from pwrank.locks import date_lease
from pwrank.publication import published_dates
from pwrank.publish import Published
from pwrank.published_refs import NightRefs
from pwrank.run import Run, open_run
from pwrank.store import Store
from tasks.retries import retry_options

P = ParamSpec("P")
R = TypeVar("R")


def scheduled_day(time_zone: str) -> date:
    """The day for which this flow run was scheduled, in a zone: a late run keeps its own day."""
    scheduled = flow_run.scheduled_start_time or datetime.now(UTC)
    return scheduled.astimezone(ZoneInfo(time_zone)).date()


def run_name() -> str:
    """Name of a flow run: its flow and its as-of date."""
    as_of = flow_run.parameters.get("as_of")
    if as_of is None:
        # A configuration that cannot be read is told by the run, not by its name.
        with contextlib.suppress(PwrankError):
            config = loaded_config(Path(flow_run.parameters["config"]))
            as_of = scheduled_day(config.time_zone)
    return f"{flow_run.flow_name}-{as_of or 'unknown date'}"


@contextlib.contextmanager
def started_run(
    config: Path,
    as_of: date | None,
    known_at: str | None,
    overrides: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """Load the configuration, open the lake, hold the date and show what came of it."""
    resolved = loaded_config(config)
    now = datetime.now(UTC)
    day = as_of or scheduled_day(resolved.time_zone)
    refuse_future(day, now)
    run = open_run(
        resolved,
        day,
        now=now,
        known_at=parse_known_at(known_at, now),
        overrides=checked_overrides(overrides or {}),
    )
    with held_date(run), shown_in_ui(run):
        yield run


def loaded_config(config: Path) -> Config:
    """The configuration of a file, with what the environment sets."""
    return load_config(config, os.environ)


@contextlib.contextmanager
def held_date(run: Run) -> Iterator[None]:
    """Hold the date of a run in its lake."""
    since = f"{run.now:%F %T} UTC"
    holder = {"host": socket.gethostname(), "process": os.getpid(), "since": since}
    with date_lease(run.store, run.as_of, holder):
        yield


def refuse_future(as_of: date, now: datetime) -> None:
    """Raise ConfigError for a date that lies ahead: published, it would stay current until then.

    Tomorrow is allowed: in some zone it has begun.
    """
    if as_of > now.date() + timedelta(days=1):
        raise ConfigError(f"--as-of {as_of} lies in the future (today is {now.date()} UTC)")


def parse_known_at(known_at: str | None, now: datetime) -> datetime | None:
    """`now`, or an ISO time (UTC where it names no zone)."""
    if known_at is None or known_at == "now":
        return now if known_at else None
    try:
        moment = datetime.fromisoformat(known_at)
    except ValueError:
        raise ConfigError(f"--known-at {known_at}: neither `now` nor an ISO time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Retrying:
    """Gives a task the retries of the configuration: `again(task)(…)`."""

    def __init__(self, run: Run) -> None:
        self.options = retry_options(run.config.runtime)

    def __call__(self, task: Task[P, R]) -> Callable[P, R]:
        """The task with retries, called as a function."""
        return cast("Callable[P, R]", task.with_options(**self.options))


def task_runner(runtime: RuntimeConfig) -> TaskRunner[PrefectFuture[int]]:
    """Where shards run: threads here, Ray on a cluster."""
    if runtime.task_runner == "ray":
        from prefect_ray import RayTaskRunner

        return cast("TaskRunner[PrefectFuture[int]]", RayTaskRunner())
    return cast(
        "TaskRunner[PrefectFuture[int]]",
        ThreadPoolTaskRunner(max_workers=runtime.shards_at_once),
    )


def score_shards(score: Task[..., int], run: Run, night: NightRefs) -> None:
    """Score every shard, some at a time. One that fails stops no other; its error ends the run."""
    parameters = {
        "shard": list(range(run.config.score.shards)),
        "run": unmapped(run),
        "night": unmapped(night),
    }
    retried = score.with_options(**retry_options(run.config.runtime))
    with task_runner(run.config.runtime) as runner:
        shards = runner.map(cast("Task[..., Any]", retried), parameters)
        shards.wait()
        shards.result()


def night_refs(
    known: Ingested, embeddings: DatasetRef, model: DatasetRef, items: DatasetRef
) -> NightRefs:
    """What the shards read."""
    return NightRefs(known.histories, known.catalogue, embeddings, model, items)


@dataclass(frozen=True)
class BackfillDay:
    """What became of one date of a backfill."""

    as_of: date
    outcome: str
    error: Exception | None = None

    @staticmethod
    def from_state(as_of: date, state: State[Published]) -> "BackfillDay":
        """Read it off the state of the date's nightly run."""
        result = state.result(raise_on_failure=False)
        if isinstance(result, Published):
            return BackfillDay(as_of, "unchanged" if result.reused else "published")
        error = result if isinstance(result, Exception) else RuntimeError(str(state.message))
        return BackfillDay(as_of, f"failed: {error}", error)


def first_error(outcome: Sequence[BackfillDay]) -> Exception | None:
    """The error to end a backfill with: the first one, with every failed date listed."""
    failed = [day for day in outcome if day.error]
    if not failed:
        return None
    first = failed[0].error
    lines = [f"{len(failed)} of {len(outcome)} dates failed:"]
    # All lines of each: a refusal names its gates, and how they are overridden.
    lines += ["\n  ".join(f"{day.as_of}: {day.error}".splitlines()) for day in failed]
    kind = type(first) if isinstance(first, PwrankError) else PwrankError
    return kind("\n".join(lines))


def is_published(config: Path, as_of: date) -> bool:
    """Whether a date has a publication in the lake of this configuration."""
    return as_of in published_dates(Store(loaded_config(config).lake))
