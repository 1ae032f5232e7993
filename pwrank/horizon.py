"""The latest moments that a dataset saw: the proof that nothing of a run's future is in it.

Every manifest carries them as the figure `seen_until`: `occurred_at`, the latest time at which
something happened that the stage could see, and `ingested_at`, the latest at which it was landed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pwrank.datasets import DatasetRef, as_told
from pwrank.errors import ContractError

SEEN_UNTIL = "seen_until"
MOMENTS = ("occurred_at", "ingested_at")

Horizon = dict[str, str | None]
"""Of each of MOMENTS an ISO time in UTC; None where nothing was seen that has one."""


def horizon(
    cut: datetime, *, occurred_at: datetime | None, ingested_at: datetime | None
) -> Horizon:
    """Latest moments among rows. Raises ContractError if one of them happened at `cut` or later."""
    occurred_at = as_told(occurred_at)
    if occurred_at is not None and occurred_at >= cut:
        raise ContractError(f"a row of {occurred_at} is in what was known before {cut}")
    return {
        "occurred_at": occurred_at.isoformat() if occurred_at else None,
        "ingested_at": ingested_at.isoformat() if ingested_at else None,
    }


def horizon_of(cut: datetime, *inputs: DatasetRef) -> Horizon:
    """Latest moments of all inputs of a stage; checked as by `horizon`."""
    seen = [_read(ref.figures.get(SEEN_UNTIL, {})) for ref in inputs]
    latest = {name: max((m[name] for m in seen if name in m), default=None) for name in MOMENTS}
    return horizon(cut, occurred_at=latest["occurred_at"], ingested_at=latest["ingested_at"])


def known_until(*inputs: DatasetRef, at_least: datetime) -> datetime:
    """When the newest row of the inputs was landed, or `at_least`."""
    moments = [_read(ref.figures.get(SEEN_UNTIL, {})) for ref in inputs]
    return max([at_least, *(m["ingested_at"] for m in moments if "ingested_at" in m)])


def _read(told: Mapping[str, str | None]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(moment) for name, moment in told.items() if moment}
