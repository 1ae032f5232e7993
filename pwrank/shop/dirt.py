"""Rows a real drop has and should not have. They are added; no good row is changed or lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One line of a drop, as text; the fields are its columns."""

    user_id: str
    item_id: str
    event: str
    timestamp: str
    rating: str


ROBOT_ID = "u00007"
"""Looks like any other id; shoppers' ids begin at u10000."""
ROBOT_DAYS = 2
ROBOT_VIEWS_PER_DAY = 2_400
UNPARSABLE = ("not-a-date", "", "2026-13-45T99:00:00Z", "31/02/2026 25:61", "0000-00-00", "NULL")
HOSTILE_IDS = (
    "../etc",
    "<script>alert(1)</script>",
    "'; DROP TABLE items; --",
    "../../../../etc/passwd",
    '=HYPERLINK("http://example.invalid")',
)
ROWS_PER_DAY: Mapping[str, float] = {
    "duplicate": 0.9,
    "missing_user": 0.35,
    "missing_item": 0.35,
    "bad_timestamp": 0.35,
    "future_timestamp": 0.25,
    "unknown_item": 0.5,
    "hostile_id": 0.1,
}
"""How many rows of each kind a drop has on average; there is at least one of each kind."""
KINDS = (*ROWS_PER_DAY, "robot")


@dataclass(frozen=True)
class DirtPlan:
    """What goes wrong on which day."""

    kinds_by_day: list[list[str]]
    """One entry per dirty row, robot rows aside."""
    robot_days: frozenset[int]


def plan_dirt(days: int, rng: np.random.Generator) -> DirtPlan:
    """Spread every kind over the days."""
    kinds_by_day: list[list[str]] = [[] for _ in range(days)]
    for kind, rate in ROWS_PER_DAY.items():
        for day in rng.integers(days, size=max(1, round(rate * days))):
            kinds_by_day[day].append(kind)
    robot_days = rng.choice(days, size=min(ROBOT_DAYS, days), replace=False)
    return DirtPlan(kinds_by_day, frozenset(int(day) for day in robot_days))


def soil(rows: list[Row], kinds: list[str], as_of: date, rng: np.random.Generator) -> list[Row]:
    """Copy `rows`, adding one dirty row per kind right after the good row it is made from.

    There are at least as many rows as kinds. as_of: "future" timestamps are later than this.
    """
    victims = rng.permutation(len(rows))[: len(kinds)].tolist()
    dirty = {v: _spoil(rows[v], kind, as_of, rng) for v, kind in zip(victims, kinds, strict=True)}
    soiled: list[Row] = []
    for place, row in enumerate(rows):
        soiled.append(row)
        if place in dirty:
            soiled.append(dirty[place])
    return soiled


def _spoil(row: Row, kind: str, as_of: date, rng: np.random.Generator) -> Row:
    """Make one dirty row from a good one."""
    draw = int(rng.integers(1_000_000))
    late = as_of + timedelta(days=30 + draw % 400)
    changes: dict[str, dict[str, str]] = {
        "duplicate": {},
        "missing_user": {"user_id": ""},
        "missing_item": {"item_id": ""},
        "bad_timestamp": {"timestamp": UNPARSABLE[draw % len(UNPARSABLE)]},
        "future_timestamp": {"timestamp": f"{late.isoformat()}{row.timestamp[10:]}"},
        "unknown_item": {"item_id": f"i{draw % 10_000:05}"},
        "hostile_id": {("user_id", "item_id")[draw % 2]: HOSTILE_IDS[draw % len(HOSTILE_IDS)]},
    }
    return row._replace(**changes[kind])


def robot_rows(day: date, item_ids: list[str], rng: np.random.Generator) -> list[Row]:
    """Make thousands of views by one user: one every few seconds from 01:00, items at random."""
    items = rng.integers(len(item_ids), size=ROBOT_VIEWS_PER_DAY)
    seconds = 3600 + np.cumsum(rng.integers(1, 9, size=ROBOT_VIEWS_PER_DAY))
    return [
        Row(ROBOT_ID, item_ids[item], "view", stamp(day, second), "")
        for item, second in zip(items.tolist(), seconds.tolist(), strict=True)
    ]


def stamp(day: date, second: int) -> str:
    """Write a moment of `day` as ISO 8601 in UTC with a Z."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return f"{(midnight + timedelta(seconds=second)).replace(tzinfo=None).isoformat()}Z"
