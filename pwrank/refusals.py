"""Dates that a gate refused since they were published last: which gates, and what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pwrank.publication import published_dates
from pwrank.store import Store, read_json, write_json


def note_refusal(
    store: Store, as_of: date, gates: Sequence[Mapping[str, Any]], *, now: datetime
) -> None:
    """Remember that a date was refused. gates: every verdict, as JSON values.

    Without samples: they may name a user, and what names one is not kept in `control/`.
    """
    told = ("gate", "figure", "bound")
    refused = [
        {name: gate[name] for name in told}
        for gate in gates
        if not (gate["passed"] or gate["override"])
    ]
    record = {"as_of": as_of.isoformat(), "refused_at": now.isoformat(), "gates": refused}
    write_json(_folder(store) / f"as_of={as_of}.json", record)


def settle_refusals(store: Store, as_of: date) -> None:
    """A date was published: what was refused of it, and before it, is told no longer."""
    for path, day in _records(store):
        if day <= as_of:
            path.unlink(missing_ok=True)


def open_refusal(store: Store) -> dict[str, Any] | None:
    """The newest refused date; None if there is none, or it or a newer one was published since.

    `as_of`, `refused_at` (ISO 8601), and `gates`: gate, figure and bound of each that refused.
    """
    path, day = max(_records(store), key=lambda found: found[1], default=(None, date.min))
    newer = any(published > day for published in published_dates(store))
    return None if path is None or newer else read_json(path)


def _records(store: Store) -> list[tuple[Path, date]]:
    paths = _folder(store).glob("as_of=*.json")
    return [(path, date.fromisoformat(path.stem.removeprefix("as_of="))) for path in paths]


def _folder(store: Store) -> Path:
    return store.control / "refused"
