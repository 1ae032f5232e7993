"""What is kept of a ranker's lists to judge them: hits, exposure and a sample, never the lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from pwrank.evaluation import metrics
from pwrank.evaluation.baselines import Baseline
from pwrank.evaluation.figures import PUBLISHED, Figure, Slice
from pwrank.evaluation.list_figures import FIRST_RANKS, evenly_spaced

LIST_LENGTH = max(metrics.CUTOFFS)

_BATCH_USERS = 8_192
"""Users whose baseline lists are held together: 820,000 rows."""


@dataclass(frozen=True)
class JudgedLists:
    """What is kept of one ranker's lists."""

    hits: pl.DataFrame
    """`user_id, item_id, rank` of relevant items."""
    shown: pl.DataFrame
    """`item_id, shown` in the first ten ranks of the judged users."""
    sample: pl.DataFrame
    """`user_id, item_id` in the first ten ranks of the sampled users."""


def judge_rankings(rankings: pl.LazyFrame, pairs: pl.DataFrame, sampled: pl.Series) -> JudgedLists:
    """Stream rankings once a figure; users that are not judged are passed over."""
    users = pairs.select("user_id").unique().lazy()
    judged = rankings.join(users, on="user_id", how="semi")
    top = rankings.filter(pl.col("rank") <= FIRST_RANKS).select("user_id", "item_id")
    sample = top.join(pl.LazyFrame({"user_id": sampled}), on="user_id", how="semi")
    return JudgedLists(
        metrics.find_hits(judged, pairs),
        metrics.exposure(judged, FIRST_RANKS),
        sample.sort("user_id", "item_id").collect(engine="streaming"),
    )


def judge_baseline(baseline: Baseline, pairs: pl.DataFrame, sampled: pl.Series) -> JudgedLists:
    """Ask a baseline for the judged users' lists, a batch of users at a time."""
    users = pairs["user_id"].unique().sort()
    parts = []
    for start in range(0, max(len(users), 1), _BATCH_USERS):
        batch = users.slice(start, _BATCH_USERS)
        wanted = pairs.join(batch.to_frame("user_id"), on="user_id", how="semi")
        lists = baseline.rank(batch, k=LIST_LENGTH).lazy()
        parts.append(judge_rankings(lists, wanted, sampled))
    shown = pl.concat([part.shown for part in parts]).group_by("item_id").agg(pl.col("shown").sum())
    return JudgedLists(
        pl.concat([part.hits for part in parts]),
        shown.sort("item_id"),
        pl.concat([part.sample for part in parts]),
    )


def judge_slice(
    pairs: pl.DataFrame,
    lists: Mapping[str, JudgedLists],
    rng: np.random.Generator,
    own: str = PUBLISHED,
) -> Slice:
    """Means and paired differences to `own` with intervals, all from the same draws of users."""
    rankers = list(lists)
    frames = [
        metrics.user_metrics(
            judged.hits.join(pairs, on=["user_id", "item_id"], how="semi"), pairs
        ).drop("user_id", "relevant")
        for judged in lists.values()
    ]
    names = frames[0].columns
    values = np.stack([frame.to_numpy() for frame in frames], axis=1)  # users, rankers, metrics
    users = len(values)
    drawn = metrics.bootstrap_means(values.reshape(users, len(rankers) * len(names)), rng)
    drawn = drawn.reshape(len(drawn), len(rankers), len(names))
    mean = values.mean(axis=0) if users else np.full(values.shape[1:], np.nan)

    def figures(value: metrics.Floats, samples: metrics.Floats) -> dict[str, Figure]:
        low, high = metrics.interval(samples)
        return {
            name: Figure(*map(float, row))
            for name, row in zip(names, zip(value, low, high, strict=True), strict=True)
        }

    place = rankers.index(own)
    numbered = list(enumerate(rankers))
    return Slice(
        users,
        pairs.height,
        {name: figures(mean[i], drawn[:, i]) for i, name in numbered},
        {
            name: figures(mean[place] - mean[i], drawn[:, place] - drawn[:, i])
            for i, name in numbered
            if i != place
        },
    )


def judge_all(
    rankings: pl.LazyFrame, baselines: Mapping[str, Baseline], pairs: pl.DataFrame
) -> dict[str, JudgedLists]:
    """Judge the published lists and every baseline on the same pairs and sampled users."""
    sampled = evenly_spaced(pairs["user_id"])
    lists = {PUBLISHED: judge_rankings(rankings, pairs, sampled)}
    for name, baseline in baselines.items():
        lists[name] = judge_baseline(baseline, pairs, sampled)
    return lists


def judge_slices(
    parts: Mapping[str, pl.DataFrame],
    lists: Mapping[str, JudgedLists],
    seed: int,
    own: str = PUBLISHED,
) -> dict[str, Slice]:
    """Judge every slice with draws of its own, so that one slice never changes another."""
    return {
        name: judge_slice(pairs, lists, np.random.default_rng([seed, number]), own)
        for number, (name, pairs) in enumerate(parts.items())
    }
