"""Task: item vectors of the night and the FAISS index over them."""

from __future__ import annotations

from prefect import task

from pwrank.datasets import DatasetRef
from pwrank.index import index as build_index
from pwrank.run import Run
from tasks.measuring import degraded_note, measured
from tasks.retries import STAGE


@task(name="index", **STAGE)
def index(
    run: Run,
    histories: DatasetRef,
    catalogue: DatasetRef,
    embeddings: DatasetRef,
    model: DatasetRef,
) -> DatasetRef:
    """Model, items, embeddings -> item table and index, with its recall certificate."""
    with measured(run, "index") as told:
        ref = build_index(
            run, histories=histories, catalogue=catalogue, embeddings=embeddings, model=model
        )
        told.rows, told.reused, told.figures = ref.rows, ref.reused, dict(ref.figures)
        told.line = f"{ref.rows:,} items, {ref.figures['kind']}" + degraded_note(ref)
    return ref
