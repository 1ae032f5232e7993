"""Time and memory of a stage, written beside the lake's manifests for the report and `status`."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from pwrank.run import Run
from pwrank.stage_log import StageRecord, write_stage_record


class Measured:
    """Filled in by the stage while it runs."""

    def __init__(self) -> None:
        self.rows = 0
        self.reused = False
        self.figures: dict[str, Any] = {}


@contextlib.contextmanager
def measured(run: Run, stage: str) -> Iterator[Measured]:
    """Time the block and record it when it ends well."""
    told = Measured()
    started = time.perf_counter()
    yield told
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    record = StageRecord(
        stage=stage,
        reused=told.reused,
        rows=told.rows,
        seconds=round(time.perf_counter() - started, 3),
        peak_bytes=peak_bytes,
        figures=told.figures,
    )
    write_stage_record(run.store, run.as_of, record)
