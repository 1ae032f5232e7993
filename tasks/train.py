"""Task: train the ranker when it is due, else name the newest one."""

from __future__ import annotations

import itertools
import statistics

from prefect import task

from pwrank.datasets import DatasetRef
from pwrank.run import Run
from pwrank.train import PASSED_OVER
from pwrank.train import train as train_ranker
from tasks.measuring import degraded_note, measured
from tasks.progress import progress_bar
from tasks.retries import STAGE


@task(name="train", **STAGE)
def train(
    run: Run,
    histories: DatasetRef,
    catalogue: DatasetRef,
    embeddings: DatasetRef,
    *,
    force: bool = False,
) -> DatasetRef:
    """Interactions, items, embeddings -> a ranker (safetensors, JSON, model card)."""
    with measured(run, "train") as told, progress_bar("train", "epochs") as progress:
        ref = train_ranker(
            run,
            histories=histories,
            catalogue=catalogue,
            embeddings=embeddings,
            force=force,
            progress=told.noting(progress),
        )
        told.rows, told.reused, told.figures = ref.rows, ref.reused, dict(ref.figures)
        if len(told.moments) > 1:
            told.figures["epochs_run"] = len(told.moments)
            told.figures["seconds_per_epoch"] = statistics.median(
                later - earlier for earlier, later in itertools.pairwise(told.moments)
            )
        told.line = f"model {ref.figures['model_version']}" + degraded_note(ref)
        if PASSED_OVER in ref.figures:
            told.line += f"; {ref.figures[PASSED_OVER]}"
    return ref
