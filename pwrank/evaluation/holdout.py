"""Judge published lists by what users then did: full catalogue, misses are misses.

Who is judged: users of the holdout with at least one relevant item after the rules. Relevant is
an item of the holdout, once; when seen items were excluded from the lists, only items new to the
user. A user without a list scores 0, and so does an item that is not in the catalogue; both are
counted. Memory: the judged users' pairs and histories; the rankings themselves are streamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import polars as pl

from pwrank.config import CleanConfig
from pwrank.datasets import NO_TIME
from pwrank.errors import SourceError
from pwrank.evaluation.baselines import Baseline, popularity_list, recent_popularity, user_items
from pwrank.evaluation.figures import SLICES, Evaluation
from pwrank.evaluation.judged_lists import judge_all, judge_slices
from pwrank.evaluation.list_figures import aligned, describe_lists, evenly_spaced, judge_scores
from pwrank.evaluation.metrics import Ints
from pwrank.run import cut_of

COLD_INTERACTIONS = 5
"""Users and items with at most this many interactions before the cut are cold."""

RECENT_DAYS = (1, 7, 30)
"""On a live catalogue the shortest window is the hardest to beat, on an old one the longest."""


def positive_interactions(frame: pl.LazyFrame, config: CleanConfig) -> pl.LazyFrame:
    """Interactions that count as interest by `[clean]`: what a list is judged by."""
    if config.positive_events:
        frame = frame.filter(pl.col("event").is_in(config.positive_events))
    if config.positive_rating is not None:
        liked = pl.col("rating").is_null() | (pl.col("rating") >= config.positive_rating)
        frame = frame.filter(liked)
    return frame


def check_ids(holdout: pl.DataFrame, rankings: pl.LazyFrame) -> None:
    """Raise SourceError where the holdout's ids have another type than the rankings'."""
    theirs = rankings.collect_schema()
    for column in ("user_id", "item_id"):
        if column not in holdout.columns:
            raise SourceError(f"holdout: no column {column!r}; it has {holdout.columns}")
        if holdout.schema[column] != theirs[column] and not holdout.is_empty():
            raise SourceError(
                f"holdout: {column} is {holdout.schema[column]}, the rankings' is "
                f"{theirs[column]}; read the holdout with the types of the lake"
            )


def relevant_pairs(
    holdout: pl.DataFrame, history: pl.LazyFrame, catalogue: pl.DataFrame, *, exclude_seen: bool
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Pairs to be found, `user_id, item_id, in_catalogue`, and the account that leads to them.

    holdout_rows = without_id + repeated + seen_before + relevant.
    """
    given = holdout.select("user_id", "item_id").drop_nulls()
    unique = given.unique().sort("user_id", "item_id")
    pairs = unique
    if exclude_seen:
        seen = history.select("user_id", "item_id")
        fresh = unique.lazy().join(seen, on=["user_id", "item_id"], how="anti")
        pairs = fresh.sort("user_id", "item_id").collect(engine="streaming")
    known = pl.col("item_id").is_in(catalogue["item_id"].implode())
    pairs = pairs.with_columns(known.alias("in_catalogue"))
    return pairs, {
        "holdout_rows": holdout.height,
        "without_id": holdout.height - given.height,
        "repeated": given.height - unique.height,
        "seen_before": unique.height - pairs.height,
        "relevant": pairs.height,
        "outside_catalogue": int((~pairs["in_catalogue"]).sum()),
        "users_in_holdout": given["user_id"].n_unique(),
        "users_judged": pairs["user_id"].n_unique(),
    }


def has_times(history: pl.LazyFrame) -> bool:
    """Whether interactions `occurred_at` say when they happened."""
    timed = pl.col("occurred_at").max() > NO_TIME
    return bool(history.select(timed).collect(engine="streaming").item())


def default_baselines(
    history: pl.LazyFrame,
    catalogue: pl.DataFrame,
    users: pl.Series,
    *,
    exclude_seen: bool,
    cut: datetime,
) -> dict[str, Baseline]:
    """Popularity, all-time and recent, over the available items of the catalogue.

    Without times no interaction is recent: all-time alone.
    """
    shown = catalogue.filter("available") if "available" in catalogue.columns else catalogue
    items = shown["item_id"]
    seen = None
    if exclude_seen:
        mine = history.join(pl.LazyFrame({"user_id": users}), on="user_id", how="semi")
        seen = user_items(mine, items)
    named: dict[str, Baseline] = {"popularity": popularity_list(history, items, seen=seen)}
    for days in RECENT_DAYS if has_times(history) else ():
        recent = recent_popularity(history, items, cut=cut, days=days, seen=seen)
        named[f"popularity_{days}d"] = recent
    return named


def counted_pairs(pairs: pl.DataFrame, history: pl.LazyFrame) -> pl.DataFrame:
    """Add to the pairs how often user and item stand in the history: `…_id_count`, maybe 0."""
    counted = pairs
    for key in ("user_id", "item_id"):
        mine = history.join(pairs.lazy().select(key).unique(), on=key, how="semi")
        counts = mine.group_by(key).agg(pl.len().alias(f"{key}_count")).collect(engine="streaming")
        counted = counted.join(counts, on=key, how="left", maintain_order="left")
    return counted.with_columns(pl.col("user_id_count", "item_id_count").fill_null(0))


def slice_pairs(
    pairs: pl.DataFrame, history: pl.LazyFrame, listed: pl.Series
) -> dict[str, pl.DataFrame]:
    """Part the pairs by the SLICES; `listed` are the users who have a list."""
    counted = counted_pairs(pairs, history)
    catalogued = pl.col("in_catalogue")
    rules = {
        "all": pl.lit(value=True),
        "with_list": pl.col("user_id").is_in(listed.implode()),
        "cold_users": pl.col("user_id_count") <= COLD_INTERACTIONS,
        "new_users": pl.col("user_id_count") == 0,
        "cold_items": catalogued & (pl.col("item_id_count") <= COLD_INTERACTIONS),
        "new_items": catalogued & (pl.col("item_id_count") == 0),
    }
    return {name: counted.filter(rules[name]).select("user_id", "item_id") for name in SLICES}


def interactions_per_item(history: pl.LazyFrame, items: pl.Series) -> Ints:
    """(items,) interactions of each item."""
    counts = history.group_by("item_id").agg(pl.len()).collect(engine="streaming")
    return aligned(counts, items, "len")


def evaluate_holdout(  # noqa: PLR0913 - the parts of one question
    rankings: pl.LazyFrame,
    holdout: pl.DataFrame,
    *,
    history: pl.DataFrame | pl.LazyFrame,
    catalogue: pl.DataFrame,
    embeddings: pl.DataFrame | pl.LazyFrame | None = None,
    exclude_seen: bool,
    as_of: date,
    seed: int = 0,
    time_zone: str = "UTC",
    baselines: Mapping[str, Baseline] | None = None,
) -> Evaluation:
    """Judge rankings `user_id, rank, item_id[, score]` by the interactions that followed.

    holdout: `user_id, item_id` from the cut on; history: `user_id, item_id, occurred_at` before it;
    catalogue: `item_id[, available, content_hash]`; embeddings: `content_hash, embedding`.
    Baselines default to popularity of all time and, with times, of the last 1, 7 and 30 days.
    Raises SourceError where the holdout's columns or id types do not fit.
    """
    check_ids(holdout, rankings)
    before = history.lazy()
    pairs, account = relevant_pairs(holdout, before, catalogue, exclude_seen=exclude_seen)
    users = pairs["user_id"].unique().sort()
    listed = rankings.select("user_id").unique().collect(engine="streaming")["user_id"]
    without_list = int((~users.is_in(listed.implode())).sum())
    if baselines is None:
        cut = cut_of(as_of, time_zone)
        baselines = default_baselines(before, catalogue, users, exclude_seen=exclude_seen, cut=cut)
    lists = judge_all(rankings, baselines, pairs)
    interactions = interactions_per_item(before, catalogue["item_id"])
    return Evaluation(
        as_of=as_of,
        exclude_seen=exclude_seen,
        account={**account, "users_listed": len(listed), "users_without_list": without_list},
        slices=judge_slices(slice_pairs(pairs, before, listed), lists, seed),
        lists={
            name: describe_lists(judged.shown, judged.sample, catalogue, interactions, embeddings)
            for name, judged in lists.items()
        },
        calibration=_calibration(rankings, pairs, {"listed": listed, "judged": users}),
    )


def _calibration(
    rankings: pl.LazyFrame, pairs: pl.DataFrame, populations: Mapping[str, pl.Series]
) -> dict[str, Any]:
    if "score" not in rankings.collect_schema():
        return {}
    judged = {
        name: judge_scores(rankings, pairs, evenly_spaced(users))
        for name, users in populations.items()
    }
    return {name: figures for name, figures in judged.items() if figures is not None}
