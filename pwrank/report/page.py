"""Report: one self-contained HTML page about a night. No script, nothing fetched.

The caller composes `ReportData`; `render_report` is pure. Titles and ids are whatever a source
held, so the template escapes every value and no value is ever declared safe.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pwrank.report.charts import (
    HEIGHT,
    MARGIN,
    WIDTH,
    difference_panel,
    histogram,
    ranker_label,
    ranker_panels,
    reliability_plot,
    validation_curve,
)
from pwrank.report.data import (
    Account,
    AccountLine,
    Gate,
    HistoryItem,
    Model,
    RankedItem,
    ReportData,
    SampleUser,
    StageRow,
    Validation,
    Verdict,
)
from pwrank.store import replacing

__all__ = [
    "Account",
    "AccountLine",
    "Gate",
    "HistoryItem",
    "Model",
    "RankedItem",
    "ReportData",
    "SampleUser",
    "StageRow",
    "Validation",
    "Verdict",
    "render_report",
    "words_of_every_page",
    "write_report",
]

TEMPLATE = "page.html.jinja"
ABSENT = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
SHIFTED_PSI = 0.25
"""By custom, a distribution has shifted from here on."""


@functools.cache
def words_of_every_page() -> str:
    """The template: what a page says whatever the night was like."""
    return (Path(__file__).parent / TEMPLATE).read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    """Escape everything, refuse what the view lacks."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _count,
        "figure": _figure,
        "number": _number,
        "share": _share,
        "duration": _duration,
        "size": _size,
        "ranker": ranker_label,
    }
    return environment


def render_report(data: ReportData) -> str:
    """Build the HTML page."""
    return _environment().get_template(TEMPLATE).render(**_view(data))


def write_report(path: Path, data: ReportData) -> None:
    """Write the page atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render_report(data)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _view(data: ReportData) -> dict[str, Any]:
    """What the template reads: every part present, charts as geometry."""
    metrics, model = data.get("metrics") or {}, data.get("model")
    published, staged = metrics.get("published"), metrics.get("staged")
    validation = data.get("validation")
    judged = published if published and published["slices"]["all"]["users"] else None
    if judged:
        judged = {"judged_by": None, **judged}
    calibration = (published or {}).get("calibration") or {}
    scores = (staged or {}).get("scores", {}).get("histogram", {"edges": [], "rows": []})
    return {
        "as_of": data["as_of"],
        "lake": data["lake"],
        "verdict": data["verdict"],
        "model": model,
        "model_metrics": model.get("metrics") or {} if model else {},
        "accounts": data.get("accounts", []),
        "stages": data.get("stages", []),
        "gates": data.get("gates", []),
        "degraded": data.get("degraded", {}),
        "drift": _drift(data.get("drift") or {}),
        "users": data.get("users", []),
        "staged": staged,
        "overlap": metrics.get("overlap"),
        "published": judged,
        "has_diversity": any(
            "diversity@10" in figures for figures in (judged or {}).get("lists", {}).values()
        ),
        "finding": _finding(judged) if judged else None,
        "panels": ranker_panels(judged) if judged else [],
        "differences": difference_panel(judged) if judged else None,
        "reliability": reliability_plot(calibration.get("listed")),
        "validation": validation,
        "curve": validation_curve(validation["points"], validation["chosen"])
        if validation
        else None,
        "histogram": histogram(scores["edges"], scores["rows"]),
        "canvas": {"width": WIDTH, "height": HEIGHT, "margin": MARGIN},
    }


def _drift(report: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with new drops or a word on them, their columns that moved most first."""
    tables = [
        {
            "name": name,
            **table,
            "columns": sorted(
                table["columns"].items(), key=lambda told: (-(told[1]["psi"] or 0.0), told[0])
            ),
        }
        for name, table in report.get("tables", {}).items()
        if table["drops"] or table["notice"]
    ]
    return {"with": report.get("with"), "tables": tables, "shifted": SHIFTED_PSI}


def _finding(published: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say whether the published lists beat the strongest baseline, as far as one can tell."""
    strongest, everybody = published["strongest_baseline"], published["slices"]["all"]
    if not strongest:
        return None
    difference = everybody["differences"][strongest]["ndcg@10"]
    base = everybody["rankers"][strongest]["ndcg@10"]["value"]
    if difference["low"] > 0:
        word = "better than"
    elif difference["high"] < 0:
        word = "worse than"
    else:
        word = "not told apart from"
    relative = difference["value"] / base if base else None
    return {
        "word": word,
        "baseline": ranker_label(strongest),
        "difference": difference,
        "relative": relative,
    }


def _count(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"


def _figure(value: float | None, sign: str = "", digits: int = 4) -> str:
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:{sign}.{digits}f}".replace("-", MINUS)


def _number(value: float | None) -> str:
    """Counts and measures in one column: whole numbers have no decimals."""
    if value is None or not math.isfinite(value) or value != int(value):
        return _figure(value)
    return f"{int(value):,}".replace("-", MINUS)


def _share(value: float | None, sign: str = "") -> str:
    return (
        ABSENT
        if value is None
        else f"{100 * value:{sign}.1f}\N{NO-BREAK SPACE}%".replace("-", MINUS)
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ABSENT
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _size(count: float | None) -> str:
    if not count:
        return ABSENT
    megabytes = count / 1e6
    return f"{megabytes / 1000:.2f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"  # noqa: PLR2004
