"""Faults at the n-th thing that a process does to the files of a lake.

An audit hook sees every file that Python opens, renames, links or removes; `os.fsync`, which has
no audit event, is wrapped. Each is an operation with a number. A fault kills the process before an
operation, or in the middle of the write that the operation would have flushed, or makes the
operation fail. Only for a process of its own: an audit hook cannot be taken off again.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = {
    "open": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.remove": 0,
    "os.mkdir": 0,
    "os.rmdir": 0,
}
"""Audited events, and which argument names the file that they make, change or remove."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

STAGES = {
    "interactions": "ingest",
    "items": "ingest",
    "users": "ingest",
    "rejects": "ingest",
    "drops": "ingest",
    "histories": "ingest",
    "catalogue": "ingest",
    "embeddings": "embed",
    "models": "train",
    "index": "index",
    "staged": "score",
    "reports": "evaluate",
    "rankings": "publish",
    "published": "publish",
    "current.json": "publish",
}
"""Folder of the lake, or of its `control`, and the stage that writes there."""


@dataclass(frozen=True)
class Fault:
    """What happens at operation number `at`, counted from 0."""

    at: int
    how: str
    """kill, stop (SIGTERM), cut (half of the file is written, then SIGKILL) or the errno."""
    always: bool = False
    """Whether every later operation meets the same."""


@dataclass(frozen=True)
class Operation:
    """One thing done to a lake."""

    number: int
    event: str
    """open, read, fsync, or an audited event."""
    stage: str
    path: str
    """Below the lake."""

    @property
    def writes(self) -> bool:
        return self.event != "read"


class Journal:
    """Counts the operations of this process on one lake, tells them to a file, and strikes."""

    def __init__(self, lake: Path, told: Path, fault: Fault | None) -> None:
        self.lake = f"{lake}{os.sep}"
        self.fault = fault
        self.stage = "start"
        self.count = 0
        self.striking = False
        self.lock = threading.RLock()
        self.file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def install(self) -> None:
        sys.addaudithook(self._hear)
        flush = os.fsync

        def fsync(descriptor: int) -> None:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if path.startswith(self.lake):
                self._count("fsync", path, descriptor)
            flush(descriptor)

        os.fsync = fsync

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in NAMES or self.striking:
            return
        named = arguments[NAMES[event]]
        if isinstance(named, int) or named is None:
            return
        path = os.path.abspath(os.fsdecode(named))  # noqa: PTH100 - pathlib is slow and audited
        if not path.startswith(self.lake):
            return
        if event == "open":
            self._count("open" if arguments[2] & WRITING else "read", path)
        else:
            self._count(event, path)

    def _count(self, event: str, path: str, descriptor: int | None = None) -> None:
        with self.lock:
            below = path.removeprefix(self.lake)
            self.stage = _stage_of(below) or self.stage
            number, self.count = self.count, self.count + 1
            os.write(self.file, f"{number}\t{event}\t{self.stage}\t{below}\n".encode())
            fault = self.fault
            if fault and (number == fault.at or (fault.always and number > fault.at)):
                self._strike(fault, path, descriptor)

    def _strike(self, fault: Fault, path: str, descriptor: int | None) -> None:
        if fault.how in {"kill", "cut"}:
            self.striking = True
            if fault.how == "cut" and descriptor is not None:
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode):
                    os.truncate(path, status.st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.how == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            raise OSError(int(fault.how), os.strerror(int(fault.how)), path)


def read_journal(told: Path) -> list[Operation]:
    """The operations of a process, in their order."""
    lines = told.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return [Operation(int(number), event, stage, path) for number, event, stage, path in rows]


def _stage_of(below: str) -> str | None:
    """Stage that writes a file, or None where its place does not tell."""
    parts = [part for part in Path(below).parts if part not in {"control", "manifests"}]
    if parts[0:1] == ["stages"]:
        name = parts[-1].removesuffix(".json").split("-")[0]
        return name if name in STAGES.values() else None
    return STAGES.get(parts[0]) if parts else None
