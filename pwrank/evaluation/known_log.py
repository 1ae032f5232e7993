"""What a baseline may learn from, and the two ways to hold something of it out.

The same rule parts the log for the board (the outer split) and the training rows for tuning (the
inner split), so a setting is chosen in the situation in which it is judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

import polars as pl

from pwrank.errors import InputError
from pwrank.evaluation.baselines import UserItems, codes_of, popularity_order, user_items
from pwrank.evaluation.holdout import has_times
from pwrank.evaluation.list_figures import evenly_spaced
from pwrank.evaluation.scored_lists import Vectors
from pwrank.run import cut_of

VALIDATION_USERS = 2_000
"""Users, evenly spaced by id, by whom settings are chosen."""


@dataclass(frozen=True)
class SplitRule:
    """Hold out the last days of the log, or the last interaction of each user."""

    days: int | None
    """None: the last interaction of each user."""
    time_zone: str = "UTC"

    @property
    def name(self) -> str:
        """As the option that asks for it."""
        return "leave-last" if self.days is None else f"holdout-days-{self.days}"

    def begins(self, end: date) -> date:
        """The as-of date of a run that may know what is not held out; `end`: the log's end."""
        return end if self.days is None else end - timedelta(days=self.days)

    def marks(self, rows: pl.DataFrame, end: date) -> pl.Series:
        """(rows,) bool: held out. rows: `user_id, occurred_at`, each user's in their order."""
        if self.days is None:
            last = pl.int_range(pl.len()).over("user_id") == pl.len().over("user_id") - 1
            return rows.select(held=last)["held"]
        begin = cut_of(self.begins(end), self.time_zone)
        return rows.select(held=pl.col("occurred_at") >= begin)["held"]


@dataclass(frozen=True)
class KnownLog:
    """Interactions before the end, and the items that may be shown."""

    rows: pl.DataFrame
    """`user_id, item_id, occurred_at`, by user, then in the order in which they happened."""
    items: pl.Series
    end: date
    """Nothing from 00:00 of this date on is known."""
    exclude_seen: bool
    vectors: Vectors | None = None
    """(items, dim) text embeddings, zero rows for items without text."""
    time_zone: str = "UTC"
    seed: int = 0

    @cached_property
    def matrix(self) -> UserItems:
        """Who has what, the most popular items first."""
        return user_items(self.rows, popularity_order(self.rows, self.items))

    @cached_property
    def text(self) -> Vectors | None:
        """`vectors` in the order of `matrix.items`."""
        if self.vectors is None:
            return None
        found: Vectors = self.vectors[codes_of(self.matrix.items, self.items)]
        return found

    @property
    def cut(self) -> datetime:
        """The instant at which `end` begins."""
        return cut_of(self.end, self.time_zone)

    @property
    def has_times(self) -> bool:
        """Whether any row says when it happened."""
        return has_times(self.rows.lazy())


def inner_split(log: KnownLog, rule: SplitRule) -> tuple[KnownLog, pl.DataFrame]:
    """The training rows parted again: what to fit on, and pairs `user_id, item_id` to choose by.

    The pairs are of users with a history in the first part; with `exclude_seen` new to the user.
    Raises InputError if either part is empty.
    """
    held = rule.marks(log.rows, log.end)
    fit = replace(log, rows=log.rows.filter(~held), end=rule.begins(log.end))
    pairs = log.rows.filter(held).select("user_id", "item_id").unique()
    pairs = pairs.join(fit.rows.select("user_id").unique(), on="user_id", how="semi")
    if log.exclude_seen:
        pairs = pairs.join(fit.rows, on=["user_id", "item_id"], how="anti")
    if pairs.is_empty():
        raise InputError(
            f"too short a log to tune the baselines: in its training part, before {log.end}, no "
            f"user has anything to find after {fit.end}; hold out fewer days"
            if rule.days
            else "too short a log to tune the baselines: no user has three interactions"
        )
    chosen = evenly_spaced(pairs["user_id"], VALIDATION_USERS)
    judged = pairs.join(chosen.to_frame("user_id"), on="user_id", how="semi")
    return fit, judged.sort("user_id", "item_id")
