"""What a flow run shows in Prefect's UI: the stages with their figures, and the night on a page."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from pwrank.errors import GateRefusedError
from pwrank.published_refs import DEGRADED
from pwrank.run import Run
from pwrank.stage_log import StageRecord, read_stage_records

logger = logging.getLogger("pwrank")


@contextlib.contextmanager
def shown_in_ui(run: Run) -> Iterator[None]:
    """Show the lines of its stages, and the run as artifacts when the block ends, well or not."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)  # Prefect takes the lines of this logger, but not its level.
    before = read_stage_records(run.store, run.as_of)
    try:
        yield
    except Exception as error:
        now = read_stage_records(run.store, run.as_of)
        # A run that fails in its first stage has left the records of the date's last run.
        _show(run, now if now != before else [], error)
        raise
    _show(run, read_stage_records(run.store, run.as_of), None)


def _show(run: Run, records: Sequence[StageRecord], error: Exception | None) -> None:
    title = outcome_line(run, records, error)
    try:
        create_table_artifact(table=stage_rows(records), key="stages", description=title)
        create_markdown_artifact(night_page(run, records, error), key="night", description=title)
    except Exception as failure:  # noqa: BLE001 - a page that cannot be shown must not fail a night
        logger.warning("not shown in Prefect's UI: %s", failure)


def stage_rows(records: Sequence[StageRecord]) -> list[dict[str, Any]]:
    """The table of stages."""
    return [
        {
            "stage": record.stage,
            "did": "reused" if record.reused else "computed",
            "rows": record.rows,
            "seconds": record.seconds,
            "process peak MB": record.peak_bytes // 1_000_000,
        }
        for record in records
    ]


def outcome_line(run: Run, records: Sequence[StageRecord], error: Exception | None) -> str:
    """What became of the date, in one line."""
    published = _figures(records, "publish")
    if isinstance(error, GateRefusedError):
        return f"{run.as_of}: refused"
    if error:
        return f"{run.as_of}: failed"
    if published:
        return f"{run.as_of}: published, {published['users']:,} users"
    return f"{run.as_of}: {', '.join(record.stage for record in records)} done, nothing published"


def night_page(run: Run, records: Sequence[StageRecord], error: Exception | None) -> str:
    """Key figures, metrics and gates of a night as Markdown."""
    published, metrics = _figures(records, "publish"), _figures(records, "evaluate")
    model, ingested = _figures(records, "train"), _figures(records, "ingest")
    gates = error.gates if isinstance(error, GateRefusedError) else published.get("gates", ())
    figures: dict[str, Any] = {
        "users": published.get("users", metrics.get("users")),
        "rows": metrics.get("rows"),
        "items": ingested.get("catalogue", {}).get("items"),
        "interactions known": next((r.rows for r in records if r.stage == "ingest"), None),
        "model": model.get("model_version"),
        "degraded": _degraded(records),
        "version": published.get("version"),
        "current": {True: "yes", False: "no, a newer date is"}.get(published.get("current", ...)),
        "seconds": round(sum(record.seconds for record in records), 1),
    }
    measured = {**_numbers(model.get("metrics", {}), "validation: "), **_numbers(metrics, "")}
    parts = [
        f"# {outcome_line(run, records, error)}",
        *([f"**{type(error).__name__}**: {error}"] if error else []),
        _table(("figure", "value"), figures.items()),
        "## Metrics" if measured else "",
        _table(("metric", "value"), measured.items()),
        "## Gates" if gates else "",
        _table(
            ("gate", "said", "figure", "bound"),
            [(g["gate"], _said(g), g["figure"], g["bound"]) for g in gates],
        ),
        f"Report: `{run.store.lake / 'reports' / f'as_of={run.as_of}' / 'report.html'}`",
    ]
    return "\n\n".join(part for part in parts if part)


def _degraded(records: Sequence[StageRecord]) -> str | None:
    """What the night did without, stage by stage."""
    stages = {"embed": "embeddings", "train": "model", "index": "index"}
    told = [
        f"{role}: {_figures(records, stage)[DEGRADED]}"
        for stage, role in stages.items()
        if DEGRADED in _figures(records, stage)
    ]
    return "; ".join(told) or None


def _said(gate: Mapping[str, Any]) -> str:
    """What a gate said, with the reason where its refusal was overridden."""
    if gate["passed"]:
        return "passed"
    return f"overridden: {gate['override']}" if gate["override"] else "**refused**"


def _figures(records: Sequence[StageRecord], stage: str) -> Mapping[str, Any]:
    return next((record.figures for record in records if record.stage == stage), {})


def _numbers(figures: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Figures worth a line, those that are told elsewhere left out."""
    return {
        f"{prefix}{name}": value
        for name, value in figures.items()
        if isinstance(value, float | int) and name not in {"users", "rows", "interactions"}
    }


def _table(head: Sequence[str], rows: Any) -> str:
    """A Markdown table; empty without rows that say something."""
    told = [[_cell(value) for value in row] for row in rows if row[1] is not None]
    if not told:
        return ""
    lines = [list(head), ["---"] * len(head), *told]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
