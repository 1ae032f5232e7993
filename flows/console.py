"""What a person sees: lines while stages run, the table and the account of rows afterwards."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwrank.config import Config
    from pwrank.published_refs import NightRefs
    from pwrank.store import Progress, Store


def check_before(path: Path) -> "Config":
    """Load the configuration and find the source files, before anything slow is started."""
    from pwrank.config_file import load_config
    from pwrank.sources import list_files
    from pwrank.store import Store

    config = load_config(path, os.environ)
    Store(config.lake).open()
    list_files(config.source)
    return config


@contextlib.contextmanager
def stage_lines() -> Iterator[None]:
    """On standard error a line when a step ends, and where no bar shows it, when it starts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("pwrank")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def watched(step: str, unit: str, total: int | None = None) -> "Iterator[Progress]":
    """Show how far a step is that is no stage of a run; the block is given what takes its units."""
    from tasks.progress import note_start, progress_bar

    with stage_lines():
        note_start(step)
        with progress_bar(step, unit, total) as progress:
            yield progress


def stage_table(config: "Config", as_of: date) -> tuple[str, list[dict[str, Any]]]:
    """The stages of a date's last run, as text and as data, with the account of rows."""
    from pwrank.plan_log import compare, read_plan
    from pwrank.stage_log import read_stage_records
    from pwrank.store import Store

    store = Store(config.lake)
    records = read_stage_records(store, as_of)
    planned = [stage.planned_seconds for stage in compare(read_plan(store, as_of), records)]
    head = f"{'stage':<9} {'did':<9} {'rows':>12} {'seconds':>9} {'planned':>9}"
    lines = [f"{head} {'process peak MB':>16}"]
    lines += [
        f"{r.stage:<9} {'reused' if r.reused else 'computed':<9} {r.rows:>12,} "
        f"{r.seconds:>9.1f} {_seconds(before):>9} {r.peak_bytes // 1_000_000:>16,}"
        for r, before in zip(records, planned, strict=True)
    ]
    data = [
        record.__dict__ | {"planned_seconds": before}
        for record, before in zip(records, planned, strict=True)
    ]
    figures = {record.stage: record.figures for record in records}
    if "ingest" in figures:
        lines += ["", *account_lines(figures["ingest"]), *figures["ingest"].get("notices", ())]
    lines += _cap_lines(figures.get("evaluate", {}))
    return "\n".join(lines), data


def _cap_lines(figures: Mapping[str, Any]) -> list[str]:
    """Whether lists hold more of a category than was asked for."""
    over = figures.get("lists_over_cap", 0)
    if not over:
        return []
    told = f"{over:,} of {figures['users']:,} lists exceed [rerank] max_per_category, in rounds"
    return [f"{told}: too few categories; raise it, or lower category_window"]


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def account_lines(figures: Mapping[str, Any]) -> list[str]:
    """Where every row went; each line adds up."""
    lines = []
    for table, landed in figures.get("landed", {}).items():
        rejected = landed["rejected"]
        lines.append(
            f"{table}: {landed['files']} files read, {landed['files_unchanged']} unchanged; "
            f"{landed['rows_in']:,} rows = {landed['rows_landed']:,} landed"
            f" + {sum(rejected.values()):,} rejected{_reasons(rejected)}"
        )
    histories = figures.get("histories")
    if histories:
        aside = histories["set_aside"]
        kept = histories["rows_in"] - sum(aside.values())
        lines.append(
            f"histories: {histories['rows_in']:,} rows known = {kept:,} kept"
            f" + {sum(aside.values()):,} set aside{_reasons(aside)}"
        )
    return lines


def _reasons(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    return " (" + ", ".join(f"{count:,} {reason}" for reason, count in counts.items()) + ")"


def published_night(store: "Store", as_of: date | None) -> "tuple[dict[str, Any], NightRefs]":
    """A publication, the current one by default, and what it was made from."""
    from pwrank.errors import LakeError
    from pwrank.publication import read_current
    from pwrank.published_refs import read_night

    current = read_current(store)
    if as_of is None and current is None:
        raise LakeError(f"nothing is published in {store.lake}; `pwrank run` publishes")
    wanted = as_of or date.fromisoformat((current or {})["as_of"])
    publication = publication_of(store, wanted)
    return publication, read_night(store, publication)


def publication_of(store: "Store", as_of: date) -> dict[str, Any]:
    """The publication of a date. Raises LakeError if there is none."""
    from pwrank.errors import LakeError
    from pwrank.publication import read_publication

    try:
        return read_publication(store, as_of)
    except FileNotFoundError:
        raise LakeError(f"{as_of} is not published; `pwrank run --as-of {as_of}`") from None
