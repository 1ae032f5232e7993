"""What each stage of a date's last run did and took; the caller measures, this only remembers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

from pwrank.store import Store, read_json, write_json

STAGE_ORDER = ("ingest", "embed", "train", "index", "score", "evaluate", "publish")


@dataclass(frozen=True)
class StageRecord:
    """One stage, or one shard of it (`score-00003`)."""

    stage: str
    reused: bool
    rows: int
    seconds: float
    peak_bytes: int
    """Peak resident memory of the process when the stage ended."""
    figures: Mapping[str, Any]


def write_stage_record(store: Store, as_of: date, record: StageRecord) -> None:
    """Remember a stage; the last run of a date wins.

    The first stage makes the records of an earlier run go: it may have had other shards.
    """
    folder = store.control / "stages" / f"as_of={as_of}"
    if record.stage == STAGE_ORDER[0]:
        for earlier in folder.glob("*.json"):
            earlier.unlink(missing_ok=True)
    write_json(folder / f"{record.stage}.json", asdict(record))


def read_stage_records(store: Store, as_of: date) -> list[StageRecord]:
    """Stages of a date in the order of the data flow; shards of a stage added up to one record."""
    folder = store.control / "stages" / f"as_of={as_of}"
    told = [read_json(path) for path in sorted(folder.glob("*.json"))]
    names = [field.name for field in fields(StageRecord)]
    records = [StageRecord(**{name: record[name] for name in names}) for record in told]
    merged = []
    for stage in STAGE_ORDER:
        parts = [r for r in records if r.stage == stage or r.stage.startswith(f"{stage}-")]
        if parts:
            merged.append(_add_up(stage, parts))
    return merged


def _add_up(stage: str, parts: list[StageRecord]) -> StageRecord:
    if len(parts) == 1:
        return StageRecord(**{**asdict(parts[0]), "stage": stage})
    return StageRecord(
        stage=stage,
        reused=all(part.reused for part in parts),
        rows=sum(part.rows for part in parts),
        seconds=round(sum(part.seconds for part in parts), 3),
        peak_bytes=max(part.peak_bytes for part in parts),
        figures={"shards": len(parts), **_sums(parts)},
    )


def _sums(parts: list[StageRecord]) -> dict[str, int]:
    """Figures of shards that are counts, added up."""
    sums = Counter[str]()
    for part in parts:
        sums.update({name: count for name, count in part.figures.items() if type(count) is int})
    return dict(sums)
