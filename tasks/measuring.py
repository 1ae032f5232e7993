"""Time and memory of a stage, told in one line and written down for the report and the UI."""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from pwrank.run import Run
from pwrank.stage_log import StageRecord, write_stage_record

logger = logging.getLogger("pwrank")
"""Told to standard error by `pwrank run`, and to Prefect's UI (PREFECT_LOGGING_EXTRA_LOGGERS)."""


class Measured:
    """Filled in by the stage while it runs."""

    def __init__(self) -> None:
        self.rows = 0
        self.reused = False
        self.figures: dict[str, Any] = {}
        self.line = ""
        """What the stage did, for its line in the log; its rows unless it says more."""


@contextlib.contextmanager
def measured(run: Run, stage: str) -> Iterator[Measured]:
    """Time the block; record and tell it when it ends well."""
    told = Measured()
    started = time.perf_counter()
    yield told
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    record = StageRecord(
        stage=stage,
        reused=told.reused,
        rows=told.rows,
        seconds=round(seconds, 3),
        peak_bytes=peak_bytes,
        figures=told.figures,
    )
    write_stage_record(run.store, run.as_of, record)
    did = told.line or f"{told.rows:,} rows"
    logger.info("%s: %s%s, %.1f s", stage, "reused, " if told.reused else "", did, seconds)
