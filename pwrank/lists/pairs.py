"""Point-wise scores for pairs that the caller brings, known or never seen."""

from __future__ import annotations

import numpy as np
import polars as pl

from pwrank.lists.item_index import ItemIndex, read_item_index, with_unknown_item
from pwrank.published_refs import NightRefs
from pwrank.ranker.history import IntArray
from pwrank.ranker.model_inputs import Reading, history_paths, read_some_histories
from pwrank.ranker.night_scorer import NightScorer
from pwrank.ranker.weights import read_ranker
from pwrank.store import Progress, Store
from pwrank.user_files import UserFile, refuse_columns

READ_USERS = 256

SCORE, HEADS = "score", ("like", "rating")
"""Columns of what is told of a pair, always and with the heads."""

NO_RATINGS = (
    "the model of this date learned no ratings; its log has none; name the column as rating under "
    "[source.columns] and run again"
)
"""Why the heads tell nothing, and what to do."""


def score_pairs(
    store: Store,
    night: NightRefs,
    pairs: UserFile,
    *,
    heads: bool,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """`score` (float32) for each pair, with `heads` like and rating too, in the order of the pairs.

    A row without a user or an item id is no pair: null; so are like and rating of a log without
    ratings.

    A user without history is scored by what is popular, an item that the catalogue lacks as one
    without text or interactions. Memory: one batch of users and their candidates.
    """
    ranker = read_ranker(store.lake, night.model)
    items = read_item_index(
        store.lake, index=night.index, catalogue=night.catalogue, embeddings=night.embeddings
    )
    night_scorer = NightScorer(ranker, items.table)
    numbered = _number(pairs, items)
    users = pairs.user_id.unique(maintain_order=True)
    paths = history_paths(store, night.histories)
    preference = ranker.preference if heads else None
    seen = None
    if preference is not None:
        seen = preference.items(ranker.item_inputs(with_unknown_item(items.catalogue)))
    told = np.zeros((3, pairs.frame.height), np.float32)
    reading = Reading.of(night.model)
    for start in range(0, len(users), READ_USERS):
        batch = users[start : start + READ_USERS]
        found = read_some_histories(paths, batch, items.catalogue.item_ids, reading)
        group = numbered.filter(pl.col("user").is_between(start, start + len(batch) - 1))
        rows, place = _as_rectangle(group["user"].to_numpy() - start, group["item"].to_numpy())
        at = group["pair"].to_numpy()
        user = group["user"].to_numpy() - start
        scores = night_scorer.as_in_lists(night_scorer.probability, found, rows)
        told[0, at] = scores[user, place]
        if preference is not None and seen is not None:
            opinion = preference.score(found, seen, rows)
            told[1, at], told[2, at] = opinion.like[user, place], opinion.rating[user, place]
        if progress:
            progress(len(at))
    names = (SCORE, *HEADS) if heads else (SCORE,)
    scored = pl.DataFrame(dict(zip(names, told, strict=False)))
    if preference is None:
        scored = scored.with_columns(pl.lit(None, pl.Float32).alias(name) for name in names[1:])
    return scored.with_columns(pl.when(~pairs.without_id).then(pl.all()))


def add_scores(
    store: Store,
    night: NightRefs,
    pairs: UserFile,
    *,
    heads: bool,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """The caller's rows, in their order, with `score`, and with `heads` also like and rating.

    Raises SourceError, before any work, if the caller's file has a column of such a name.
    """
    refuse_columns(pairs, (SCORE, *HEADS) if heads else (SCORE,))
    return pairs.frame.with_columns(
        score_pairs(store, night, pairs, heads=heads, progress=progress)
    )


def _number(pairs: UserFile, items: ItemIndex) -> pl.DataFrame:
    """pair, user (in order of first appearance), item (catalogue row; n = unknown), by user."""
    users = pairs.user_id.unique(maintain_order=True).to_frame().with_row_index("user")
    ids = pl.Series("item_id", items.catalogue.item_ids, dtype=pairs.item_id.dtype)
    rows = ids.to_frame().with_row_index("item")
    return (
        pl.DataFrame([pairs.user_id, pairs.item_id])
        .with_row_index("pair")
        .join(users, on="user_id", how="left", nulls_equal=True, maintain_order="left")
        .join(rows, on="item_id", how="left", maintain_order="left")
        .select(
            "pair",
            pl.col("user").cast(pl.Int64),
            pl.col("item").cast(pl.Int64).fill_null(len(ids)),
        )
        .sort("user", maintain_order=True)
    )


def _as_rectangle(user: IntArray, item: IntArray) -> tuple[IntArray, IntArray]:
    """Ragged candidates as (b, c), padded with row 0, and the place of each pair in its row.

    user: (m,) ascending from 0 to b - 1, each at least once.
    """
    counts = np.bincount(user)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = np.arange(len(user)) - first[user]
    rows = np.zeros((len(counts), int(counts.max())), np.int64)
    rows[user, place] = item
    return rows, place
