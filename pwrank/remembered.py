"""What is kept of a date so that it can be made again when its record is retired, or damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pwrank.publication import publication_path
from pwrank.store import Store, read_json, write_json


def remember(store: Store, publication: Mapping[str, Any]) -> None:
    """Keep what makes a date again as it was when its record is retired, or damaged and removed."""
    kept = ("as_of", "version", "known_at", "degraded", "overrides")
    told = {name: publication.get(name, {}) for name in kept}
    model = {name: publication["inputs"]["model"][name] for name in ("as_of", "key")}
    path = _remembered_path(store, date.fromisoformat(publication["as_of"]))
    write_json(path, {**told, "inputs": {"model": model}})


def read_earlier(store: Store, as_of: date) -> dict[str, Any] | None:
    """What is kept of a date that is or was published; None if it never was."""
    for path in (publication_path(store, as_of), _remembered_path(store, as_of)):
        with contextlib.suppress(FileNotFoundError):
            return read_json(path)
    return None


def recorded_overrides(
    store: Store, as_of: date, *, known_at: datetime | None = None, version: str | None = None
) -> dict[str, str]:
    """Gate -> why it was overridden when a date was published, also one that is retired since.

    Only if it was of what was known then, or of these very lists.
    """
    earlier = read_earlier(store, as_of)
    if earlier is None:
        return {}
    same_input = known_at is not None and known_at == datetime.fromisoformat(earlier["known_at"])
    same_lists = version is not None and version == earlier.get("version")
    return dict(earlier.get("overrides", {})) if same_input or same_lists else {}


def _remembered_path(store: Store, as_of: date) -> Path:
    # Named when only retired dates were remembered.
    return store.control / "retired" / f"as_of={as_of}.json"
