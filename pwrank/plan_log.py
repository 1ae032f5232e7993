"""What a night was expected to do and to take, kept for the page that compares it with the night.

Seconds of a stage whose shards run beside each other are added up over the shards, as in the
stage log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from pwrank.stage_log import StageRecord
from pwrank.store import Store, read_json, write_json


@dataclass(frozen=True)
class StagePlan:
    """What one stage is expected to do."""

    stage: str
    reused: bool
    why: str
    """In a few words: what there is to do, or why there is nothing."""
    work: Mapping[str, float] = field(default_factory=dict)
    """Counts by what is counted: rows, texts, tokens, pairs; `…_most`: what one may come to."""
    flops: float = 0.0
    """Of its matrix products."""
    bytes: int = 0
    """Read and written."""
    seconds: float | None = None
    """None where nothing is known of this machine yet."""
    seconds_most: float | None = None
    """Where the work is not known beforehand: if all of it must be done."""
    peak_bytes: int | None = None
    """Largest resident memory of the process by the end of the stage."""


@dataclass(frozen=True)
class NightPlan:
    """The stages of one as-of date in the order of the data flow."""

    as_of: date
    inputs: str
    """Names what the plan was made from: while it is the same, so is the plan."""
    measured: str
    """Where the seconds come from."""
    stages: tuple[StagePlan, ...]

    def stage(self, name: str) -> StagePlan | None:
        """The plan of one stage."""
        return next((stage for stage in self.stages if stage.stage == name), None)


def write_plan(store: Store, plan: NightPlan) -> None:
    """Remember the plan of a date; the last one wins."""
    write_json(_path(store, plan.as_of), asdict(plan))


def read_plan(store: Store, as_of: date) -> NightPlan | None:
    """The plan of a date, if one was made."""
    with contextlib.suppress(FileNotFoundError):
        told = read_json(_path(store, as_of))
        stages = tuple(StagePlan(**stage) for stage in told["stages"])
        return NightPlan(as_of, told["inputs"], told["measured"], stages)
    return None


def _path(store: Store, as_of: date) -> Path:
    return store.control / "plans" / f"as_of={as_of}.json"


@dataclass(frozen=True)
class Compared:
    """A stage as it was planned and as it was."""

    stage: str
    planned_seconds: float | None
    seconds: float
    planned_peak_bytes: int | None
    peak_bytes: int

    @property
    def off_by(self) -> float | None:
        """Planned over actual seconds, minus 1; None where nothing was planned."""
        if self.planned_seconds is None or self.seconds <= 0:
            return None
        return self.planned_seconds / self.seconds - 1


def compare(plan: NightPlan | None, records: Sequence[StageRecord]) -> list[Compared]:
    """Plan against actual, one line a stage that ran."""
    found = []
    for record in records:
        planned = plan.stage(record.stage) if plan else None
        found.append(
            Compared(
                record.stage,
                planned_seconds(planned, record) if planned else None,
                record.seconds,
                planned.peak_bytes if planned else None,
                record.peak_bytes,
            )
        )
    return found


def planned_seconds(planned: StagePlan, record: StageRecord) -> float | None:
    """Seconds of a plan; of a training, for the epochs after which it stopped in the end.

    How many epochs a training needs is not known before it: the plan tells its other seconds and
    the seconds of an epoch apart.
    """
    epochs = record.figures.get("epochs_run")
    if planned.reused or epochs is None or "seconds_per_epoch" not in planned.work:
        return planned.seconds
    return planned.work["seconds_besides"] + float(epochs) * planned.work["seconds_per_epoch"]
