"""What a night does without, step by step, and how its rows say so."""

from __future__ import annotations

import numpy as np
import polars as pl

from pwrank.encoder.parts import read_embeddings
from pwrank.lists.item_index import broken_index
from pwrank.lists.sources_of_ranks import RANKER, RANKER_NO_VECTOR, RANKER_STALE_MODEL, RANKER_TEXT
from pwrank.published_refs import DEGRADED, NightRefs
from pwrank.store import Store


def degradations(store: Store, night: NightRefs) -> dict[str, str]:
    """Step -> what the night did without and why; empty for a night that had everything."""
    told = {
        role: str(ref.figures[DEGRADED])
        for role, ref in night.by_role().items()
        if DEGRADED in ref.figures
    }
    if broken := broken_index(store.lake, night.index):
        told["index"] = f"exact search instead of the index: {broken}"
    return told


def items_without_vector(store: Store, night: NightRefs) -> pl.Series:
    """`item_id` of the items whose text the encoder could not be asked for."""
    (path,) = night.catalogue.file_paths(store.lake)
    if not night.embeddings.figures.get("texts_left"):
        return pl.read_parquet(path, columns=["item_id"], n_rows=0)["item_id"]
    items = pl.read_parquet(path, columns=["item_id", "content_hash"])
    items = items.filter(pl.col("content_hash") != "")
    vectors = read_embeddings(store, night.embeddings, items["content_hash"].to_list())
    return items["item_id"].filter(pl.Series(~np.any(vectors, axis=1)))


def name_sources(rankings: pl.DataFrame, night: NightRefs, without: pl.Series) -> pl.DataFrame:
    """RANKINGS rows with the step of the ladder that each came by in `source`.

    without: what `items_without_vector` says; asked once a night, not once a shard.
    """
    ranked = pl.col("source").is_in([RANKER, RANKER_TEXT])
    source = pl.col("source")
    if DEGRADED in night.model.figures:
        source = pl.when(ranked).then(pl.lit(RANKER_STALE_MODEL)).otherwise(source)
    if len(without):
        blind = ranked & pl.col("item_id").is_in(without.implode())
        source = pl.when(blind).then(pl.lit(RANKER_NO_VECTOR)).otherwise(source)
    return rankings.with_columns(source.alias("source"))
