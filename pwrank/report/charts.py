"""Geometry of the report's charts: numbers in, places on a 0 to 100 scale or a canvas out.

No markup is made here; the template draws, and escapes every word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pwrank.evaluation.figures import PUBLISHED, SLICES

PANELS = {
    "ndcg@10": "NDCG@10",
    "recall@20": "Recall@20",
    "hit_rate@10": "Hit rate@10",
    "mrr@10": "MRR@10",
}
WIDTH, HEIGHT, MARGIN = 640.0, 200.0, 8.0
"""Canvas of line and column charts, in SVG units."""


@dataclass(frozen=True)
class Whisker:
    """A labelled figure with its interval; left, low, high in percent of the scale."""

    label: str
    value: float
    low_value: float
    high_value: float
    left: float
    low: float
    high: float
    own: bool
    strongest: bool = False
    users: int = 0


@dataclass(frozen=True)
class Panel:
    """One chart of whiskers on a common scale."""

    title: str
    rows: tuple[Whisker, ...]
    zero: float
    """Place of 0 in percent."""
    minimum: float
    maximum: float


def ranker_label(name: str) -> str:
    """Name of a ranker in words: popularity_7d is `popularity, 7 days`."""
    window = re.fullmatch(r"popularity_(\d+)d", name)
    if not window:
        return name
    days = int(window[1])
    return f"popularity, {days} day{'s' if days > 1 else ''}"


def ranker_panels(published: Mapping[str, Any]) -> list[Panel]:
    """One panel a metric over all users: published lists and baselines, from 0."""
    everybody = published["slices"]["all"]["rankers"]
    strongest = published["strongest_baseline"]
    panels = []
    for metric, title in PANELS.items():
        figures = {
            name: ranker[metric]
            for name, ranker in everybody.items()
            if ranker.get(metric, {}).get("value") is not None
        }
        top = _nice(max((figure["high"] for figure in figures.values()), default=0.0))
        rows = tuple(
            _whisker(
                ranker_label(name),
                figure,
                (0.0, top),
                own=name == PUBLISHED,
                strongest=name == strongest,
            )
            for name, figure in figures.items()
        )
        panels.append(Panel(title, rows, 0.0, 0.0, top))
    return [panel for panel in panels if panel.rows]


def difference_panel(published: Mapping[str, Any], metric: str = "ndcg@10") -> Panel | None:
    """Published minus the strongest baseline, slice by slice; None where nobody is judged."""
    strongest = published["strongest_baseline"]
    found = []
    for name, part in published["slices"].items():
        if name == "with_list" and part["users"] == published["slices"]["all"]["users"]:
            continue
        figure = part["differences"].get(strongest, {}).get(metric)
        if figure and figure["value"] is not None:
            found.append((SLICES.get(name, name), part["users"], figure))
    if not found:
        return None
    low = min(0.0, *(figure["low"] for _, _, figure in found))
    high = max(0.0, *(figure["high"] for _, _, figure in found))
    reach = _nice(max(abs(low), abs(high)))
    scale = (-reach if low < 0 else -reach / 10, reach if high > 0 else reach / 10)
    rows = tuple(
        _whisker(label, figure, scale, own=True, users=users) for label, users, figure in found
    )
    return Panel(
        f"{PANELS[metric]} minus {ranker_label(strongest)}", rows, _place(0.0, scale), *scale
    )


def _whisker(
    label: str,
    figure: Mapping[str, float],
    scale: tuple[float, float],
    *,
    own: bool,
    strongest: bool = False,
    users: int = 0,
) -> Whisker:
    value, low, high = (float(figure[name]) for name in ("value", "low", "high"))
    return Whisker(
        label=label,
        value=value,
        low_value=low,
        high_value=high,
        left=_place(value, scale),
        low=_place(low, scale),
        high=_place(high, scale),
        own=own,
        strongest=strongest,
        users=users,
    )


def _place(value: float, scale: tuple[float, float]) -> float:
    """Percent of the way along the scale, kept inside it."""
    low, high = scale
    return min(100.0, max(0.0, 100.0 * (value - low) / (high - low or 1.0)))


def _nice(value: float) -> float:
    """Round up to 1, 1.5, 2, 3, 4, 5 or 8 times a power of ten, for the end of a scale."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        step * power for step in (1, 1.5, 2, 3, 4, 5, 8, 10) if step * power >= value * 0.999
    )


@dataclass(frozen=True)
class Curve:
    """A line on the canvas, with its axis labels."""

    points: tuple[tuple[float, float], ...]
    first: str
    last: str
    low: float
    high: float
    chosen: tuple[float, float] | None
    chosen_label: str


def validation_curve(points: Sequence[Sequence[float]], chosen: float | None) -> Curve | None:
    """Validation figure by epoch; None without points. Points: (epoch, value)."""
    drawn = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not drawn:
        return None
    xs, ys = [x for x, _ in drawn], [y for _, y in drawn]
    low, high = min(ys), max(ys)
    pad = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    across, up = (min(xs), max(xs)), (low - pad, high + pad)
    placed = tuple(_on_canvas(x, y, across, up) for x, y in drawn)
    mark = next((at for at, (x, _) in zip(placed, drawn, strict=True) if x == chosen), None)
    value = next((y for x, y in drawn if x == chosen), high)
    label = f"{chosen:g}: {value:.4f}" if mark and chosen is not None else ""
    return Curve(placed, f"{across[0]:g}", f"{across[1]:g}", low, high, mark, label)


def _on_canvas(
    x: float, y: float, across: tuple[float, float], up: tuple[float, float]
) -> tuple[float, float]:
    inner_width, inner_height = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    left = MARGIN + inner_width * _place(x, across) / 100
    top = MARGIN + inner_height * (1 - _place(y, up) / 100)
    return round(left, 2), round(top, 2)


@dataclass(frozen=True)
class Columns:
    """A histogram on the canvas: x, y, width, height of each column."""

    bars: tuple[tuple[float, float, float, float], ...]
    first: float
    last: float
    most: int


def histogram(edges: Sequence[float], rows: Sequence[int]) -> Columns | None:
    """Equal-width columns; None without rows."""
    if not rows or not sum(rows):
        return None
    most = max(rows)
    step = (WIDTH - 2 * MARGIN) / len(rows)
    bars = []
    for number, count in enumerate(rows):
        # A column that holds anything stays visible beside one that holds nearly everything.
        height = max((HEIGHT - 2 * MARGIN) * count / most, 1.5 if count else 0.0)
        left = MARGIN + number * step
        bars.append((round(left, 2), round(HEIGHT - MARGIN - height, 2), step - 1, height))
    return Columns(tuple(bars), float(edges[0]), float(edges[-1]), most)


@dataclass(frozen=True)
class Reliability:
    """Predicted (across) against observed (up) on a square canvas of HEIGHT."""

    points: tuple[tuple[float, float], ...]
    limit: float
    error: float
    rows: int


def reliability_plot(calibration: Mapping[str, Any] | None) -> Reliability | None:
    """Bins of a reliability table on one scale for both axes; None without bins."""
    if not calibration or not calibration["reliability"]:
        return None
    bins = calibration["reliability"]
    limit = _nice(max(max(row["predicted"], row["observed"]) for row in bins))
    side = HEIGHT - 2 * MARGIN
    points = tuple(
        (
            round(MARGIN + side * row["predicted"] / limit, 2),
            round(MARGIN + side * (1 - row["observed"] / limit), 2),
        )
        for row in bins
    )
    return Reliability(points, limit, calibration["calibration_error"], calibration["rows"])
