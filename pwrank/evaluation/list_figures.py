"""Figures about lists as such: how wide, how novel, how varied, how true their scores are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pwrank.evaluation import metrics
from pwrank.evaluation.pointwise_metrics import calibration_error, log_loss, reliability
from pwrank.store import shard_of

FIRST_RANKS = 10
"""Ranks that are looked at when lists are told apart."""

SAMPLED_USERS = 5_000
"""Users, evenly spaced by id, whose lists are held for diversity and calibration."""


def describe_lists(
    shown: pl.DataFrame,
    sample: pl.DataFrame,
    catalogue: pl.DataFrame,
    interactions: metrics.Ints,
    embeddings: pl.DataFrame | pl.LazyFrame | None,
) -> dict[str, float]:
    """Coverage, Gini and novelty of `item_id, shown` over the catalogue; interactions: (items,).

    Diversity of the lists `user_id, item_id` of sample, where vectors are given.
    """
    counts = aligned(shown, catalogue["item_id"], "shown")
    figures = {
        "coverage@10": metrics.coverage(counts),
        "gini@10": metrics.gini(counts),
        "novelty@10": metrics.novelty(counts, interactions),
    }
    if embeddings is not None:
        figures["diversity@10"] = mean_diversity(sample, catalogue, embeddings)
    return figures


def first_ranks(lists: pl.LazyFrame, columns: Sequence[str], *, stride: int = 1) -> pl.DataFrame:
    """The first ranks of one user in `stride`, chosen by a hash of the id."""
    first = lists.filter(pl.col("rank") <= FIRST_RANKS).select(columns).collect()
    if stride == 1:
        return first
    users = first["user_id"].unique().sort()
    chosen = users.filter(shard_of(users, stride) == 0)
    return first.join(chosen.to_frame("user_id"), on="user_id", how="semi")


def mean_diversity(
    sample: pl.DataFrame, catalogue: pl.DataFrame, embeddings: pl.DataFrame | pl.LazyFrame
) -> float:
    """Mean intra-list diversity of lists `user_id, item_id`; items without text are passed over."""
    hashes = sample.join(catalogue.select("item_id", "content_hash"), on="item_id")
    needed = hashes.lazy().select("content_hash").unique()
    known = embeddings.lazy().join(needed, on="content_hash", how="semi")
    unique = known.collect(engine="streaming").unique("content_hash")
    vectors = hashes.join(unique, on="content_hash").sort("user_id", "item_id")
    matrix = vectors["embedding"].to_numpy().astype(np.float32)
    length = np.linalg.norm(matrix, axis=1, keepdims=True) if len(matrix) else matrix
    has_text = length.ravel() > 0
    users = vectors["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
    unit = matrix[has_text] / length[has_text]
    diversity = metrics.intra_list_diversity(users[has_text], unit)
    measured = diversity[~np.isnan(diversity)]
    return float(measured.mean()) if len(measured) else float("nan")


def aligned(counts: pl.DataFrame, items: pl.Series, column: str) -> metrics.Ints:
    """Put counts `item_id, <column>` in the order of items, 0 where absent: (items,)."""
    joined = items.to_frame("item_id").join(counts, on="item_id", how="left", maintain_order="left")
    return joined[column].fill_null(0).cast(pl.Int64).to_numpy()


def evenly_spaced(users: pl.Series, most: int = SAMPLED_USERS) -> pl.Series:
    """At most `most` of the users, evenly spaced by id: the same ones in any run."""
    ordered = users.unique().sort()
    places = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).astype(np.int64)
    return ordered.gather(places)


def judge_scores(
    rankings: pl.LazyFrame, pairs: pl.DataFrame, users: pl.Series
) -> dict[str, Any] | None:
    """Calibration of the listed scores of these users; None when they are no probabilities."""
    rows = rankings.join(pl.LazyFrame({"user_id": users}), on="user_id", how="semi")
    label = pairs.lazy().select("user_id", "item_id", label=pl.lit(1.0))
    scored = rows.select("user_id", "item_id", "score").join(
        label, on=["user_id", "item_id"], how="left"
    )
    frame = scored.select("score", pl.col("label").fill_null(0.0)).collect(engine="streaming")
    if frame.height == 0 or not frame["score"].is_between(0.0, 1.0).all():
        return None
    labels, scores = frame["label"].to_numpy(), frame["score"].cast(pl.Float64).to_numpy()
    table = reliability(labels, scores)
    return {
        "users": len(users),
        "rows": frame.height,
        "calibration_error": calibration_error(table),
        "log_loss": log_loss(labels, scores),
        "reliability": table.to_dicts(),
    }
