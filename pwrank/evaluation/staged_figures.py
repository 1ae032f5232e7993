"""Figures about staged lists, one shard in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pwrank.evaluation import metrics
from pwrank.evaluation.figures import finite
from pwrank.evaluation.list_figures import FIRST_RANKS, aligned, first_ranks

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
HISTOGRAM_BINS = 40
POPULAR_SHARE = 0.01
"""An item is popular if it is in this share of the catalogue, at least ten items."""

_SCORES_HELD = 2_000_000
"""Scores kept for quantiles; of more rows, every n-th."""

_OVERLAP_USERS = 20_000
"""Users whose lists are compared with the last published ones; the mean is then known to .003."""


def staged_figures(
    parts: Sequence[Path], rows: int, catalogue: pl.DataFrame, interactions: pl.DataFrame
) -> dict[str, Any]:
    """Figures of RANKINGS parts with `rows` rows in all, as JSON values.

    catalogue: `item_id`; interactions: `item_id, len` before the cut.
    """
    sources: dict[str, Counter[str]] = {"all": Counter(), "first_10": Counter()}
    shown, scores, lengths = [], [], []
    step = max(1, -(-rows // _SCORES_HELD))
    for path in parts:
        part = pl.read_parquet(path, columns=["user_id", "rank", "item_id", "score", "source"])
        first = part.filter(pl.col("rank") <= FIRST_RANKS)
        shown.append(first.group_by("item_id").agg(pl.len().alias("shown")))
        scores.append(part["score"].gather_every(step).to_numpy())
        lengths.append(part.group_by("user_id").agg(pl.len())["len"].to_numpy())
        for name, frame in (("all", part), ("first_10", first)):
            sources[name].update(dict(frame["source"].value_counts().iter_rows()))
    counts = _add_up(shown, catalogue)
    touched = aligned(interactions, catalogue["item_id"], "len")
    length = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
    return {
        "users": len(length),
        "rows": int(length.sum()),
        "list_length": _length_figures(length),
        "coverage@10": finite(metrics.coverage(counts)),
        "gini@10": finite(metrics.gini(counts)),
        "novelty@10": finite(metrics.novelty(counts, touched)),
        "popular_share@10": finite(popular_share(counts, touched)),
        "sources": {name: _shares(counter) for name, counter in sources.items()},
        "scores": score_figures(np.concatenate(scores) if scores else np.zeros(0)),
    }


def popular_share(shown: metrics.Ints, interactions: metrics.Ints) -> float:
    """Share of the first ten places that goes to popular items. Both (items,)."""
    if shown.sum() == 0:
        return float("nan")
    most = max(FIRST_RANKS, round(POPULAR_SHARE * len(interactions)))
    popular = np.argsort(-interactions, kind="stable")[:most]
    return float(shown[popular].sum() / shown.sum())


def score_figures(scores: metrics.Floats) -> dict[str, Any]:
    """Quantiles and a histogram of equal-width bins; empty without scores.

    What is not finite is left out here: a gate refuses such a night.
    """
    scores = scores[np.isfinite(scores)]
    if len(scores) == 0:
        return {"quantiles": {}, "histogram": {"edges": [], "rows": []}}
    quantiles = np.quantile(scores, QUANTILES)
    rows, edges = np.histogram(scores, bins=HISTOGRAM_BINS)
    return {
        "quantiles": {f"{q:g}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)},
        "histogram": {"edges": edges.astype(float).tolist(), "rows": rows.tolist()},
    }


def overlap_figures(parts: Sequence[Path], published: pl.LazyFrame, users: int) -> dict[str, Any]:
    """How much the first ten ranks agree with the lists published last.

    Over users chosen by a hash of their id, so that the number of shards does not matter.
    """
    stride = max(1, users // _OVERLAP_USERS)
    first = pl.concat(
        first_ranks(pl.scan_parquet(path), ("user_id", "rank", "item_id"), stride=stride)
        for path in parts
    )
    chosen = first.lazy().select("user_id").unique()
    earlier = (
        published.filter(pl.col("rank") <= FIRST_RANKS)
        .select("user_id", "rank", "item_id")
        .join(chosen, on="user_id", how="semi")
        .collect(engine="streaming")
    )
    overlap = metrics.list_overlap(first, earlier, k=FIRST_RANKS)
    means = overlap.select(pl.col("rbo", "jaccard").mean()).row(0)
    unchanged = (overlap["rbo"] > 1.0 - 1e-9).mean()
    return {
        "users_compared": overlap.height,
        "users_new": first["user_id"].n_unique() - overlap.height,
        "rbo@10": means[0],
        "jaccard@10": means[1],
        "unchanged_share@10": unchanged,
    }


def _add_up(shown: Sequence[pl.DataFrame], catalogue: pl.DataFrame) -> metrics.Ints:
    if not shown:
        return np.zeros(catalogue.height, np.int64)
    total = pl.concat(shown).group_by("item_id").agg(pl.col("shown").sum())
    return aligned(total, catalogue["item_id"], "shown")


def _length_figures(length: metrics.Ints) -> dict[str, float]:
    if len(length) == 0:
        return {}
    return {"min": int(length.min()), "mean": float(length.mean()), "max": int(length.max())}


def _shares(counter: Counter[str]) -> dict[str, float]:
    total = sum(counter.values())
    return {name: rows / total for name, rows in counter.most_common()} if total else {}
