"""Time and memory of a stage, told in one line and written down for the report and the UI."""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from pwrank.datasets import DatasetRef
from pwrank.published_refs import DEGRADED
from pwrank.run import Run
from pwrank.stage_log import StageRecord, write_stage_record
from pwrank.store import Progress
from tasks.progress import note_start

logger = logging.getLogger("pwrank")
"""Told to standard error by `pwrank run`, and to Prefect's UI (PREFECT_LOGGING_EXTRA_LOGGERS)."""


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    return peak if sys.platform == "darwin" else peak * 1024


class Measured:
    """Filled in by the stage while it runs."""

    def __init__(self) -> None:
        self.rows = 0
        self.reused = False
        self.figures: dict[str, Any] = {}
        self.started = time.perf_counter()
        self.moments: list[float] = []
        """Seconds after the start at which progress was told."""
        self.line = ""
        """What the stage did, for its line in the log; its rows unless it says more."""

    def noting(self, progress: Progress) -> Progress:
        """The same progress, which also notes when it is told."""

        def advance(units: int) -> None:
            self.moments.append(time.perf_counter() - self.started)
            progress(units)

        return advance


def degraded_note(ref: DatasetRef) -> str:
    """What a stage did without, as the end of its line."""
    return f"; degraded: {ref.figures[DEGRADED]}" if DEGRADED in ref.figures else ""


@contextlib.contextmanager
def measured(run: Run, stage: str, *, noted: bool = True) -> Iterator[Measured]:
    """Time the block; record and tell it when it ends well.

    noted: whether its start is told, too, where no terminal shows a bar.
    """
    if noted:
        note_start(stage)
    told = Measured()
    yield told
    seconds = time.perf_counter() - told.started
    record = StageRecord(
        stage=stage,
        reused=told.reused,
        rows=told.rows,
        seconds=round(seconds, 3),
        peak_bytes=peak_memory(),
        figures=told.figures,
    )
    write_stage_record(run.store, run.as_of, record)
    did = told.line or f"{told.rows:,} rows"
    logger.info("%s: %s%s, %.1f s", stage, "reused, " if told.reused else "", did, seconds)
