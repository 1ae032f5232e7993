"""Task: encode the texts that the lake has no vector for."""

from __future__ import annotations

from prefect import task

from pwrank.datasets import DatasetRef
from pwrank.embed import count_missing_texts
from pwrank.embed import embed as embed_catalogue
from pwrank.run import Run
from tasks.measuring import degraded_note, measured
from tasks.progress import progress_bar
from tasks.retries import STAGE


@task(name="embed", **STAGE)
def embed(run: Run, catalogue: DatasetRef) -> DatasetRef:
    """Catalogue -> embeddings, keyed by content."""
    total = count_missing_texts(run.store, catalogue, run.config)
    with measured(run, "embed") as told, progress_bar("embed", "texts", total) as progress:
        ref = embed_catalogue(run.store, catalogue, run.config, as_of=run.as_of, progress=progress)
        told.rows, told.reused, told.figures = ref.rows, ref.reused, dict(ref.figures)
        encoded = 0 if ref.reused else ref.figures["texts_encoded"]
        told.line = f"{ref.rows:,} texts, {encoded:,} encoded" + degraded_note(ref)
    return ref
