"""A run: one as-of date, one resolved configuration, one lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, version
from zoneinfo import ZoneInfo

from pwrank.config import Config
from pwrank.remembered import read_earlier
from pwrank.store import Store


@dataclass(frozen=True)
class Run:
    """What every stage is told. Nothing in it depends on when a stage happens to start."""

    config: Config
    as_of: date
    now: datetime
    """When tonight's rows become known; fixed once, so that a retry tells the same."""
    known_at: datetime
    """Only what was ingested until then exists for the run."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Gate -> why its refusal is overridden tonight."""

    @property
    def store(self) -> Store:
        """The lake."""
        return Store(self.config.lake)

    @property
    def cut(self) -> datetime:
        """The instant at which the as-of date begins, in UTC."""
        return cut_of(self.as_of, self.config.time_zone)


def cut_of(as_of: date, time_zone: str) -> datetime:
    """00:00 of a date in a zone, as UTC; nothing from then on exists for a run."""
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=ZoneInfo(time_zone))
    return midnight.astimezone(UTC)


def open_run(
    config: Config,
    as_of: date,
    *,
    now: datetime,
    known_at: datetime | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Run:
    """Open the lake and fix what the run may know.

    A date that was published before, even one that is retired, is repeated as it was known then,
    whatever arrived since; `known_at = now` takes everything. A date that never was takes
    everything, else no history could be backfilled.
    """
    store = Store(config.lake).open()
    if known_at is None and (earlier := read_earlier(store, as_of)):
        known_at = datetime.fromisoformat(earlier["known_at"])
    return Run(config, as_of, now, known_at or now, dict(overrides or {}))


def code_version() -> str:
    """Version of pwrank, as installed."""
    try:
        return version("pwrank")
    except PackageNotFoundError:
        return "0+unknown"
