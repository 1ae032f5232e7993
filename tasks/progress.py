"""What a long step shows: a bar on a terminal, elsewhere a line as it starts and each minute."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator

from tqdm import tqdm

from pwrank.store import Progress

logger = logging.getLogger("pwrank")

NOTE_SECONDS = 60.0
"""Between two lines where no terminal shows a bar."""


def note_start(step: str) -> None:
    """Say that a step starts, where no bar shows it."""
    if not sys.stderr.isatty():
        logger.info("%s: started", step)


@contextlib.contextmanager
def progress_bar(step: str, unit: str, total: int | None = None) -> Iterator[Progress]:
    """A bar for one step; the block is given a function that takes the units just done."""
    with tqdm(total=total, desc=step, unit=f" {unit}", disable=None, leave=False) as bar:
        yield _noting(step, unit, total) if bar.disable else _moving(bar)


def _moving(bar: tqdm[object]) -> Progress:
    def advance(units: int) -> None:
        bar.update(units)

    return advance


def _noting(step: str, unit: str, total: int | None) -> Progress:
    """A line each minute, if the step takes longer than that."""
    started = noted = time.monotonic()
    done, of = 0, "" if total is None else f" of {total:,}"

    def advance(units: int) -> None:
        nonlocal done, noted
        done += units
        now = time.monotonic()
        if now - noted >= NOTE_SECONDS:
            noted = now
            logger.info("%s: %d%s %s, %.0f s", step, done, of, unit, now - started)

    return advance
