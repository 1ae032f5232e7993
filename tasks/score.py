"""Task: the lists of one shard of users; mapped over the shards by the flow."""

from __future__ import annotations

from prefect import task

from pwrank.datasets import DatasetRef
from pwrank.published_refs import NightRefs
from pwrank.run import Run
from pwrank.score import commit_staged
from pwrank.score import score_shard as score_users
from tasks.measuring import measured
from tasks.progress import progress_bar
from tasks.retries import STAGE


@task(name="score", task_run_name="score-{shard}", **STAGE)
def score(shard: int, run: Run, night: NightRefs) -> int:
    """Histories of a shard -> one staged part. Returns its rows."""
    with (
        measured(run, f"score-{shard:05d}", noted=False) as told,
        progress_bar(f"score {shard}", "users") as progress,
    ):
        part = score_users(run, night, shard=shard, progress=progress)
        told.rows, told.reused = part.rows, part.reused
        told.figures["pairs"] = part.pairs
    return part.rows


@task(name="score", task_run_name="score-staged", **STAGE)
def stage_rankings(run: Run, night: NightRefs) -> DatasetRef:
    """All parts are there -> one staged dataset."""
    return commit_staged(run, night)
