"""A share of the night as the models read it, for timing them before anything is embedded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.encoder.text_encoder import identify_encoder
from pwrank.planning.counts import Counts
from pwrank.planning.incoming import Clock
from pwrank.planning.reusable import Reusable
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.history import Histories
from pwrank.ranker.model_inputs import (
    history_paths,
    new_reading,
    read_histories,
    split_categories,
)
from pwrank.run import Run
from pwrank.store import Store


@dataclass(frozen=True)
class SampleWorld:
    """Real users and items; the vectors of the texts are random."""

    log: Histories
    catalogue: Catalogue
    interactions_share: float
    """Of all interactions of the night."""
    items_share: float
    """Of all items of the night."""
    seconds: float
    """To read it."""


def sample_world(
    run: Run, counts: Counts, done: Reusable, scratch: Store, clock: Clock
) -> SampleWorld | None:
    """From the share that was landed, or from what the lake has, whichever is more."""
    started = clock()
    histories = _larger(run, scratch, "histories", counts.histories, done.histories)
    catalogue = _larger(run, scratch, "catalogue", counts.catalogue, done.catalogue)
    if histories is None or catalogue is None:
        return None
    ref, store = catalogue
    items = _random_catalogue(run, pl.read_parquet(ref.file_paths(store.lake)))
    ref, store = histories
    paths = history_paths(store, ref)
    log = read_histories(paths, items.item_ids, new_reading(run.config.train, paths)).histories
    return SampleWorld(
        log=log,
        catalogue=items,
        interactions_share=min(1.0, ref.rows / max(counts.interactions, 1)),
        items_share=min(1.0, items.num_items / max(counts.items, 1)),
        seconds=clock() - started,
    )


def _larger(
    run: Run, scratch: Store, name: str, share: DatasetRef | None, own: DatasetRef | None
) -> tuple[DatasetRef, Store] | None:
    earlier = [
        ref
        for ref in run.store.refs(name)
        if ref.as_of
        and ref.as_of <= run.as_of
        and all(path.exists() for path in ref.file_paths(run.store.lake))
    ]
    known = own or max(earlier, key=lambda ref: (str(ref.as_of), ref.key), default=None)
    if known and (share is None or known.rows >= share.rows):
        return known, run.store
    return (share, scratch) if share else None


def _random_catalogue(run: Run, frame: pl.DataFrame) -> Catalogue:
    """CATALOGUE rows as arrays, with random unit vectors."""
    offsets, labels, names = split_categories(frame["category"].to_list())
    width = identify_encoder(run.config.encoder).files.width
    text = np.random.default_rng(0).standard_normal((frame.height, width), np.float32)
    return Catalogue(
        item_ids=frame["item_id"].to_numpy(),
        text=text / np.linalg.norm(text, axis=1, keepdims=True),
        category_offsets=offsets,
        category_labels=labels,
        category_names=names,
        available=frame["available"].to_numpy(),
    )
