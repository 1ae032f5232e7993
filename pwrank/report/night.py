"""The page about one night: puts together what the lake remembers of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.datasets import DatasetRef
from pwrank.errors import GateRefusedError, LakeError
from pwrank.gates.arrival import read_drift
from pwrank.lists.ladder import degradations
from pwrank.plan_log import Compared, compare, read_plan
from pwrank.published_refs import NightRefs
from pwrank.report.data import HistoryItem
from pwrank.report.page import Account, AccountLine, ReportData, SampleUser, Verdict, write_report
from pwrank.report.users import ShownUser, sample_users, show_staged
from pwrank.run import Run
from pwrank.stage_log import StageRecord, read_stage_records
from pwrank.store import Store, read_json

METRICS_FILE = "metrics.json"
SHOWN_USERS = 3


def report_path(store: Store, as_of: date | str) -> Path:
    """Where the page of a date is."""
    return store.lake / "reports" / f"as_of={as_of}" / "report.html"


def write_night_report(
    run: Run,
    night: NightRefs,
    *,
    staged: DatasetRef,
    metrics: DatasetRef,
    gates: Sequence[Mapping[str, Any]],
    refusal: str | None,
    judged: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a date.

    refusal: why the night was not published, None if it was. judged: an evaluation on held-out
    interactions (`Evaluation.to_json()`), in place of the last published lists' own.
    """
    store = run.store
    content = read_json(store.lake / metrics.path / METRICS_FILE)
    if judged:
        content["published"] = {"until": None, **judged}
    records = read_stage_records(store, run.as_of)
    compared = compare(read_plan(store, run.as_of), records)
    model = night.model
    data = ReportData(
        as_of=str(run.as_of),
        lake=str(store.lake),
        verdict=_verdict(run, staged, refusal),
        model={
            "version": model.figures["model_version"],
            "trained_as_of": str(model.as_of),
            "encoder": run.config.encoder.model,
            "metrics": model.figures["metrics"],
        },
        accounts=_accounts(records),
        stages=[_stage_row(*pair) for pair in zip(records, compared, strict=True)],
        metrics=content,
        validation=None,
        gates=[_gate(gate) for gate in gates],
        degraded=degradations(store, night),
        drift=read_drift(store, run.as_of),
        users=[
            _sample_user(user)
            for user in show_staged(
                store,
                night,
                staged,
                sample_users(
                    store, night, pl.scan_parquet(staged.file_paths(store.lake)), SHOWN_USERS
                ),
            )
        ],
    )
    path = report_path(store, run.as_of)
    write_report(path, data)
    return path


def write_refused_input(run: Run, refused: GateRefusedError) -> Path:
    """Write the page of a date whose input was refused: the gates, and what came in."""
    data = ReportData(
        as_of=str(run.as_of),
        lake=str(run.store.lake),
        verdict={"state": "refused", "text": str(refused)},
        gates=[_gate(gate) for gate in refused.gates],
        drift=read_drift(run.store, run.as_of),
    )
    path = report_path(run.store, run.as_of)
    write_report(path, data)
    return path


def rewrite_night_report(
    store: Store,
    config: Config,
    publication: Mapping[str, Any],
    night: NightRefs,
    judged: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a published date again, maybe with an evaluation on held-out interactions.

    Raises LakeError if what the page is made of was retired since.
    """
    as_of = date.fromisoformat(publication["as_of"])
    staged = store.reuse("staged", as_of, publication["version"])
    metrics = store.reuse("reports", as_of, publication["metrics_key"])
    if staged is None or metrics is None:
        raise LakeError(f"{as_of}: its figures are no longer in the lake; run the date again")
    published_at = datetime.fromisoformat(publication["published_at"])
    known_at = datetime.fromisoformat(publication["known_at"])
    return write_night_report(
        Run(config, as_of, published_at, known_at),
        night,
        staged=staged,
        metrics=metrics,
        gates=publication["gates"],
        refusal=None,
        judged=judged,
    )


def _verdict(run: Run, staged: DatasetRef, refusal: str | None) -> Verdict:
    if refusal:
        return {"state": "refused", "text": refusal}
    users = staged.figures["users"]
    text = f"{users:,} users have a list, {staged.rows:,} rows; nothing from {run.cut:%F %H:%M} "
    return {"state": "published", "text": f"{text}UTC on was known to the run."}


def _stage_row(record: StageRecord, compared: Compared) -> Any:
    planned = {"planned_seconds": compared.planned_seconds}
    return asdict(record) | planned | {"planned_peak_bytes": compared.planned_peak_bytes}


def _gate(gate: Mapping[str, Any]) -> Any:
    return dict(gate)


def _accounts(records: Sequence[StageRecord]) -> list[Account]:
    ingest = next((record for record in records if record.stage == "ingest"), None)
    if ingest is None:
        return []
    accounts = []
    for table, landed in ingest.figures["landed"].items():
        lines: list[AccountLine] = [
            {"name": "rows read", "rows": landed["rows_in"], "note": f"{landed['files']} files"},
            {"name": "landed", "rows": landed["rows_landed"]},
            *_reasons("rejected", landed["rejected"]),
        ]
        rest = landed["rows_in"] - landed["rows_landed"] - sum(landed["rejected"].values())
        accounts.append(Account(stage=f"{table}, this run", lines=lines, adds_up=rest == 0))
    histories = ingest.figures["histories"]
    kept = ingest.rows
    lines = [
        {"name": "rows in the lake", "rows": histories["rows_in"]},
        {"name": "kept as history", "rows": kept},
        *_reasons(
            "of them with", {"items that the catalogue lacks": histories.get("unknown_items", 0)}
        ),
        *_reasons("set aside", histories["set_aside"]),
    ]
    rest = histories["rows_in"] - kept - sum(histories["set_aside"].values())
    accounts.append(Account(stage="histories", lines=lines, adds_up=rest == 0))
    return accounts


def _reasons(what: str, counts: Mapping[str, int]) -> list[AccountLine]:
    return [{"name": what, "rows": rows, "note": why} for why, rows in counts.items() if rows]


def _history_item(row: Mapping[str, Any]) -> HistoryItem:
    item: HistoryItem = {
        "title": row["title"] or str(row["item_id"]),
        "item_id": str(row["item_id"]),
    }
    if row["occurred_at"]:
        item["when"] = f"{row['occurred_at']:%Y-%m-%d}"
    return item


def _sample_user(user: ShownUser) -> SampleUser:
    return {
        "user_id": str(user.user_id),
        "history": [_history_item(row) for row in user.history],
        "ranking": [
            {
                "rank": row["rank"],
                "title": row["title"] or str(row["item_id"]),
                "score": row["score"],
                "source": row["source"],
                "item_id": str(row["item_id"]),
                "reasons": row["reasons"] or [],
            }
            for row in user.ranking
        ],
    }
