"""What counts as an interaction before the cut: the rules of `[clean]`, each one counted.

Pure functions on frames. Every rule that looks at a user sees all rows of that user, because a
shard holds whole users.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import numpy as np
import polars as pl

from pwrank.config import CleanConfig
from pwrank.datasets import NO_TIME
from pwrank.views.file_order import chance

DUPLICATE = "exact duplicate"
REPEATED = "repeated within the day"
REPEATED_WITHOUT_TIMES = "repeated"
NOT_POSITIVE = "not positive"
ROBOT = "implausible user"
UNKNOWN_ITEM = "item not in the catalogue"
FEW_OF_USER = "user with too few interactions"
FEW_OF_ITEM = "item with too few interactions"

SORTED_BY = ["user_id", "occurred_at"]
SAME_ROW = ["user_id", "item_id", "event", "occurred_at", "rating", "weight"]


def clean_shard(
    rows: pl.DataFrame, config: CleanConfig, known_items: pl.Series, *, in_order: bool = True
) -> tuple[pl.DataFrame, Counter[str]]:
    """Apply the user-level rules to one shard of INTERACTIONS rows.

    in_order: whether lines of a file without times stand in the order of events. Returns the rows
    that remain, in the order (user, time, source file, line), lines by chance if they tell none,
    and the count of rows set aside by reason; both sum to `rows.height`.
    """
    counts: Counter[str] = Counter()
    rows = rows.sort(*SORTED_BY, "source_file", "source_line")
    if not in_order:
        by_chance = (*SORTED_BY, "source_file", "chance")
        rows = rows.with_columns(chance(rows)).sort(by_chance, maintain_order=True).drop("chance")

    def keep(kept: pl.DataFrame, reason: str) -> None:
        nonlocal rows
        if kept.height < rows.height:
            counts[reason] += rows.height - kept.height
        rows = kept

    if config.drop_exact_duplicates:
        keep(_without_repeats(rows), DUPLICATE)
    if _most_rows_of_a_user(rows) > config.max_user_interactions_per_day:
        keep(rows.filter(~_is_robot(config)), ROBOT)
    keep(rows.filter(_is_positive(config)), NOT_POSITIVE)
    if config.unknown_items == "drop":
        keep(rows.filter(pl.col("item_id").is_in(known_items.implode())), UNKNOWN_ITEM)
    if config.repeated != "keep":
        reason = REPEATED if (rows["occurred_at"] > NO_TIME).any() else REPEATED_WITHOUT_TIMES
        keep(_merge_repeated(rows, add_weights=config.repeated == "count"), reason)
    few = pl.len().over("user_id") < config.min_user_interactions
    keep(rows.filter(~few), FEW_OF_USER)
    return rows, counts


def drop_rare_items(
    rows: pl.DataFrame, item_counts: pl.DataFrame, minimum: int
) -> tuple[pl.DataFrame, Counter[str]]:
    """Leave out rows of items with fewer than `minimum` interactions over all shards.

    item_counts: item_id, len.
    """
    rare = item_counts.filter(pl.col("len") < minimum)
    kept = rows.join(rare, on="item_id", how="anti", maintain_order="left")
    return kept, Counter({FEW_OF_ITEM: rows.height - kept.height})


def before_cut(rows: pl.LazyFrame, cut: datetime) -> pl.LazyFrame:
    """Rows that exist for a run whose as-of date begins at `cut`."""
    return rows.filter(pl.col("occurred_at") < cut)


def _without_repeats(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows less those that stand before; in a log without times a repeat is no duplicate.

    rows: by user and time, so only neighbours who share both need be compared as a whole.
    """
    alike = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in SORTED_BY)
    close = (alike | alike.shift(-1)) & (pl.col("occurred_at") > NO_TIME)
    near = rows.select(SAME_ROW).with_row_index("place").filter(close)
    repeats = near.filter(~pl.struct(SAME_ROW).is_first_distinct())["place"]
    first = np.ones(rows.height, np.bool_)
    first[repeats.to_numpy()] = False
    return rows.filter(first) if len(repeats) else rows


def _most_rows_of_a_user(rows: pl.DataFrame) -> int:
    """No user has more on any day."""
    return int(rows["user_id"].value_counts()["count"].max() or 0)  # type: ignore[arg-type]


def _is_positive(config: CleanConfig) -> pl.Expr:
    positive = pl.lit(value=True)
    if config.positive_events:
        positive = positive & pl.col("event").is_in(config.positive_events)
    if config.positive_rating is not None:
        liked = pl.col("rating") >= config.positive_rating
        positive = positive & liked.fill_null(value=True)
    return positive


def _is_robot(config: CleanConfig) -> pl.Expr:
    """Whether the row's user has a day with more interactions than a person can have."""
    day = pl.col("occurred_at").dt.date()
    on_day = pl.len().over("user_id", day)
    # A log without times has all its rows at the epoch: that day says nothing.
    timed = pl.when(pl.col("occurred_at") > NO_TIME).then(on_day).otherwise(0)
    return timed.max().over("user_id") > config.max_user_interactions_per_day


def _merge_repeated(rows: pl.DataFrame, *, add_weights: bool) -> pl.DataFrame:
    """The last of the same user, item, event and day; with the weights of all added if asked.

    Without times all rows are of one day.
    """
    day = pl.col("occurred_at").dt.date().alias("day")
    keys = ["user_id", "item_id", "event", "day"]
    rows = rows.with_columns(day)
    if add_weights:
        rows = rows.with_columns(pl.col("weight").sum().over(keys))
    return rows.unique(keys, keep="last", maintain_order=True).drop("day")
