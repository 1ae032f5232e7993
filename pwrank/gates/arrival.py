"""The input of a night against the last nights: drift report and gates, before stages read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.datasets import DatasetRef
from pwrank.errors import GateRefusedError
from pwrank.gates.catalogue import judge_catalogue
from pwrank.gates.drift import drift_of, judge_drops, worst_of
from pwrank.gates.new_drops import arrivals
from pwrank.gates.verdicts import Verdict, how_to_override, overridden, refusal_lines
from pwrank.horizon import SEEN_UNTIL
from pwrank.landing.drops import Drop, read_drops, visible_drops
from pwrank.landing.parsing import PARSERS
from pwrank.landing.refusing import asked_for
from pwrank.publication import last_publication
from pwrank.refusals import note_refusal
from pwrank.remembered import recorded_overrides
from pwrank.run import cut_of
from pwrank.sources import Table
from pwrank.store import Store, read_json, write_json

LATE = 30
"""Days without an interaction that are told."""

CATALOGUE_COLUMNS = ["item_id", "available", "content_hash"]


def drift_path(store: Store, as_of: date) -> Path:
    """Where the drift report of a date lies, beside its page."""
    return store.lake / "reports" / f"as_of={as_of}" / "drift.json"


def read_drift(store: Store, as_of: date) -> dict[str, Any]:
    """The drift report of a date; without tables and verdicts where there is none."""
    path = drift_path(store, as_of)
    return read_json(path) if path.exists() else {"with": None, "tables": {}, "verdicts": []}


def notices_of(report: Mapping[str, Any], histories: DatasetRef, as_of: date) -> list[str]:
    """What is odd about the input of a date, but no damage."""
    told = [table["notice"] for table in report["tables"].values() if table["notice"]]
    newest = histories.figures[SEEN_UNTIL]["occurred_at"]
    days = (as_of - date.fromisoformat(newest[:10])).days if newest else 0
    if days > LATE:
        told.append(
            f"old log: the newest interaction is of {newest[:10]}, {days:,} days before {as_of}; "
            "is a file missing, or is another --as-of meant?"
        )
    return told


def judge_input(
    store: Store,
    config: Config,
    *,
    as_of: date,
    known_at: datetime,
    drops: Mapping[Table, Sequence[Drop]],
    catalogue: DatasetRef,
    overrides: Mapping[str, str],
    now: datetime,
) -> None:
    """Write the drift report of a date. Raises GateRefusedError if a gate refuses its input.

    drops: what the night reads of each table; known_at: as the night was asked for; now: when, for
    the record of a refusal.
    """
    last = last_publication(store, as_of)
    tables, found = {}, []
    items = pl.read_parquet(catalogue.file_paths(store.lake), columns=CATALOGUE_COLUMNS)
    before = _catalogue_of(store, last) if last else None
    if last:
        known_items = (items if before is None else before)["item_id"]
        cuts = tuple(cut_of(day, config.time_zone) for day in (_date(last), as_of))
        seen_at = datetime.fromisoformat(last["known_at"])
        for table in PARSERS:
            arrived = arrivals(
                store,
                table,
                now=drops[table],
                before=visible_drops(read_drops(store, table), seen_at),
                cuts=(cuts[0], cuts[1]),
                nights=config.drift.nights,
            )
            harmless = asked_for(config.clean)
            tables[table] = drift_of(store, arrived, config.drift, harmless)
            found += judge_drops(
                store,
                arrived,
                tables[table],
                config.drift,
                known_items=known_items,
                asked_for=harmless,
            )
    template = last["config"]["encoder"]["text_template"] if last else None
    same_text = template == config.encoder.text_template
    verdicts = [
        *worst_of(found),
        *judge_catalogue(items, before, config.drift, same_text=same_text),
    ]
    recorded = recorded_overrides(store, as_of, known_at=known_at)
    verdicts = overridden(verdicts, recorded | dict(overrides))
    told = [verdict.to_json() for verdict in verdicts]
    report = {"with": last and last["as_of"], "tables": tables, "verdicts": told}
    write_json(drift_path(store, as_of), report)
    refused = [verdict for verdict in verdicts if verdict.refuses]
    if refused:
        note_refusal(store, as_of, told, now=now)
        raise GateRefusedError(_refusal(as_of, refused), told)


def _catalogue_of(store: Store, publication: Mapping[str, Any]) -> pl.DataFrame | None:
    """The catalogue behind a publication; None if it was retired since."""
    told = publication["inputs"]["catalogue"]
    ref = store.reuse("catalogue", _date(told), told["key"])
    return pl.read_parquet(ref.file_paths(store.lake), columns=CATALOGUE_COLUMNS) if ref else None


def _date(told: Mapping[str, Any]) -> date:
    return date.fromisoformat(told["as_of"])


def _refusal(as_of: date, refused: list[Verdict]) -> str:
    first = f"{as_of} is not ranked; {len(refused)} of the gates refused its input"
    mend = "put a mended file of the same name in the place of the broken one, and run again"
    return "\n".join([first, *refusal_lines(refused), mend, how_to_override(refused)])
