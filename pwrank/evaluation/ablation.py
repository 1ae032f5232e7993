"""The same pipeline with texts that say nothing: what the large model is worth to the product."""

from __future__ import annotations

import os

import numpy as np
import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.encoder.parts import EmbeddingParts
from pwrank.run import Run
from pwrank.store import fingerprint


def blank_embeddings(run: Run, catalogue: DatasetRef, embeddings: DatasetRef) -> DatasetRef:
    """Embeddings of the catalogue in which every text has the same unit vector.

    As wide as the real ones, so that the ranker is built alike.
    """
    store, dim = run.store, int(embeddings.figures["dim"])
    encoder = f"blank-{dim}"
    key = fingerprint(encoder, catalogue.key)
    if found := store.reuse("embeddings", run.as_of, key):
        return found
    (path,) = catalogue.file_paths(store.lake)
    hashes = pl.read_parquet(path, columns=["content_hash"])["content_hash"].unique().sort()
    hashes = hashes.filter(hashes != "")
    vectors = np.zeros((len(hashes), dim), np.float32)
    vectors[:, 0] = 1.0
    part = EmbeddingParts(store.lake / "embeddings" / encoder).write(hashes.to_list(), vectors)
    return store.commit(
        "embeddings",
        run.as_of,
        key,
        files=[os.path.relpath(part, store.folder("embeddings", run.as_of, key))],
        rows=len(hashes),
        figures={**embeddings.figures, "encoder": encoder, "description": "texts without content"},
    )
