"""Task: land new drops and write what the as-of date may know."""

from __future__ import annotations

from prefect import task

from pwrank.errors import GateRefusedError
from pwrank.gates.arrival import notices_of, read_drift
from pwrank.ingest import Ingested
from pwrank.ingest import ingest as ingest_drops
from pwrank.report.night import write_refused_input
from pwrank.run import Run
from tasks.measuring import measured
from tasks.progress import progress_bar
from tasks.retries import STAGE


@task(name="ingest", **STAGE)
def ingest(run: Run) -> Ingested:
    """Source drops -> interactions, items, rejects -> histories and catalogue."""
    with measured(run, "ingest") as told, progress_bar("ingest", "files") as progress:
        try:
            done = ingest_drops(run, progress=told.noting(progress))
        except GateRefusedError as refused:
            write_refused_input(run, refused)
            raise
        told.rows = done.histories.rows
        told.reused = done.histories.reused and done.catalogue.reused
        report = read_drift(run.store, run.as_of)
        told.figures = {
            "landed": done.landed,
            "landing_seconds": max(told.moments, default=0.0),
            "histories": dict(done.histories.figures) | {"unknown_items": done.unknown_items},
            "drift": report["verdicts"],
            "notices": notices_of(report, done.histories, run.as_of),
            "catalogue": dict(done.catalogue.figures) | {"items": done.catalogue.rows},
        }
        landed = sum(table["rows_landed"] for table in done.landed.values())
        told.line = f"{landed:,} rows landed, {done.histories.rows:,} interactions known"
        if done.unknown_items:
            told.line += f", {done.unknown_items:,} of them with items that the catalogue lacks"
        if reason := done.histories.figures["by_chance"]:
            told.line += f", in no order: {reason}"
    return done
