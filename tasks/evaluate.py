"""Task: figures of the night, and of the last published lists against what users then did."""

from __future__ import annotations

from prefect import task

from pwrank.datasets import DatasetRef
from pwrank.evaluate import evaluate as evaluate_night
from pwrank.published_refs import NightRefs
from pwrank.run import Run
from tasks.measuring import measured
from tasks.retries import STAGE


@task(name="evaluate", **STAGE)
def evaluate(
    run: Run,
    staged: DatasetRef,
    night: NightRefs,
) -> DatasetRef:
    """Staged rankings, model, earlier publications -> metrics."""
    with measured(run, "evaluate") as told:
        ref = evaluate_night(
            run.store,
            run.config,
            staged=staged,
            histories=night.histories,
            catalogue=night.catalogue,
            model=night.model,
            embeddings=night.embeddings,
            as_of=run.as_of,
        )
        told.rows, told.reused, told.figures = ref.rows, ref.reused, dict(ref.figures)
        told.line = f"{len(ref.figures)} figures"
    return ref
