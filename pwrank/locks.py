"""Locks of a lake that die with their holder.

`flock` is released by the kernel when the process ends, however it ends, so a lease of a dead
run is simply free. The file's content only says who holds it. A lake on an object store needs
leases with heartbeats instead; see deploy/README.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from pwrank.errors import DateHeldError
from pwrank.store import Store


@contextlib.contextmanager
def date_lease(store: Store, as_of: date, holder: Mapping[str, object]) -> Iterator[None]:
    """Hold an as-of date for one run. Raises DateHeldError naming the holder if it is taken.

    holder: what others are told, such as host, process id and start time; JSON values.
    """
    path = store.control / "leases" / f"as_of={as_of}.lock"
    with _locked(path, wait=False) as descriptor:
        if descriptor is None:
            raise DateHeldError(
                f"{as_of} is held by another run ({_read_holder(path)}); "
                "wait for it, or stop that process and run again"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(dict(holder)).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)


@contextlib.contextmanager
def landing_lock(store: Store) -> Iterator[None]:
    """Wait for, then hold, the right to land drops: two dates may run at once, one lands."""
    with _locked(store.control / "leases" / "landing.lock", wait=True):
        yield


@contextlib.contextmanager
def whole_lake(store: Store, holder: Mapping[str, object]) -> Iterator[None]:
    """Hold every date and the landing: no run is under way, and one that starts waits to land.

    Raises DateHeldError naming the holder of a date that is taken.
    """
    folder = store.control / "leases"
    with contextlib.ExitStack() as held:
        for path in sorted(folder.glob("as_of=*.lock")):
            as_of = date.fromisoformat(path.stem.removeprefix("as_of="))
            held.enter_context(date_lease(store, as_of, holder))
        if held.enter_context(_locked(folder / "landing.lock", wait=False)) is None:
            raise DateHeldError("another run is landing drops; wait for it and run again")
        yield


def _read_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return "holder unknown"
    return ", ".join(f"{name} {value}" for name, value in holder.items())


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[int | None]:
    """An open descriptor with an exclusive lock, or None when it is taken and we do not wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)
