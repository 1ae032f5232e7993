"""What the processor can do at best, and how two pieces of work compare on a busy machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall time and processor time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def product_rate(dtype: torch.dtype) -> float:
    """FLOP/s of a matrix product in the cache: what nothing can exceed."""
    left, right = torch.randn(1024, 1536).to(dtype), torch.randn(1536, 1536).to(dtype)
    best = min(seconds(lambda: left @ right)[0] for _ in range(30))
    return 2 * 1024 * 1536 * 1536 / best


@dataclass(frozen=True)
class Contest:
    """Medians of some rounds in alternation."""

    own: float
    """Seconds a unit of work."""
    peer: float
    ratio: float
    """Peer over own: the median of the pairwise ratios."""
    ratio_processor: float
    """The same of processor time, which other work beside disturbs less."""


def alternate(
    own: Callable[[], object],
    peer: Callable[[], object],
    *,
    units: tuple[float, float],
    repeats: int,
) -> Contest:
    """Run two pieces of work in turn. units: how much each does, for a common scale."""
    return contest(lambda: seconds(own), lambda: seconds(peer), units=units, repeats=repeats)


def contest(
    own: Callable[[], tuple[float, float]],
    peer: Callable[[], tuple[float, float]],
    *,
    units: tuple[float, float],
    repeats: int,
) -> Contest:
    """As `alternate`, of work that times itself: wall and processor time of one call."""
    own(), peer()
    rounds = [(own(), peer()) for _ in range(repeats)]
    scale = units[0] / units[1]
    return Contest(
        own=statistics.median(ours[0] for ours, _ in rounds) / units[0],
        peer=statistics.median(theirs[0] for _, theirs in rounds) / units[1],
        ratio=statistics.median(theirs[0] / ours[0] for ours, theirs in rounds) * scale,
        ratio_processor=statistics.median(theirs[1] / ours[1] for ours, theirs in rounds) * scale,
    )
