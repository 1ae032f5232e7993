"""Task: gates, then visibility, all or nothing; then the page that a person reads."""

from __future__ import annotations

from prefect import task

from pwrank.datasets import DatasetRef
from pwrank.errors import GateRefusedError
from pwrank.publish import Published
from pwrank.publish import publish as publish_rankings
from pwrank.published_refs import NightRefs
from pwrank.report.night import write_night_report
from pwrank.run import Run
from tasks.measuring import measured
from tasks.progress import progress_bar
from tasks.retries import STAGE


@task(name="publish", **STAGE)
def publish(run: Run, staged: DatasetRef, night: NightRefs, metrics: DatasetRef) -> Published:
    """Staged rankings -> rankings/v1, manifest, pointer; and the report, refused or not."""
    try:
        with measured(run, "publish") as told, progress_bar("publish", "rows") as progress:
            done = publish_rankings(
                run, staged=staged, night=night, metrics=metrics, progress=progress
            )
            told.rows, told.reused = done.rows, done.reused
            told.line = f"{done.users:,} users, {done.rows:,} rows"
            told.figures = {
                "users": done.users,
                "version": done.version,
                "current": done.current,
                "gates": list(done.gates),
            }
    except GateRefusedError as refused:
        write_night_report(
            run, night, staged=staged, metrics=metrics, gates=refused.gates, refusal=str(refused)
        )
        raise
    write_night_report(run, night, staged=staged, metrics=metrics, gates=done.gates, refusal=None)
    return done
