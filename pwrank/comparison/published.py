"""How much the published lists of two dates differ: over users, by segment, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from pwrank.evaluation.list_figures import FIRST_RANKS, evenly_spaced
from pwrank.evaluation.metrics import list_overlap

MOST_USERS = 100_000
"""Users whose lists are compared, evenly spaced by id: some 300 MB."""
ITEMS_SHOWN = 10
LENGTHS = {"0": (0, 0), "1 to 4": (1, 4), "5 to 19": (5, 19), "20 or more": (20, 2**62)}
"""Segments by interactions in the history."""


@dataclass(frozen=True)
class Change:
    """How far lists are from others, as means over users; 1 and 1 are the very same."""

    users: int
    rbo: float
    jaccard: float
    unchanged: float
    """Share of the users whose first ranks are the very same."""

    def to_json(self) -> dict[str, Any]:
        """As told to programs."""
        at = f"@{FIRST_RANKS}"
        return {
            "users": self.users,
            f"rbo{at}": self.rbo,
            f"jaccard{at}": self.jaccard,
            f"unchanged_share{at}": self.unchanged,
        }


def first_ranks(lists: pl.LazyFrame, users: pl.Series | None = None) -> pl.DataFrame:
    """user_id, rank, item_id, source of the first ranks, of some users or of all."""
    first = lists.filter(pl.col("rank") <= FIRST_RANKS)
    first = first.select("user_id", "rank", "item_id", "source")
    if users is not None:
        first = first.join(pl.LazyFrame({"user_id": users}), on="user_id", how="semi")
    return first.collect(engine="streaming")


def change(before: pl.DataFrame, after: pl.DataFrame) -> Change:
    """The change of lists `user_id, rank, item_id` of users who have both."""
    return _mean(list_overlap(before, after, k=FIRST_RANKS))


def _mean(overlap: pl.DataFrame) -> Change:
    rbo, jaccard = overlap.select(pl.col("rbo", "jaccard").mean().fill_null(float("nan"))).row(0)
    same = int((overlap["rbo"] > 1.0 - 1e-9).sum())
    return Change(overlap.height, rbo, jaccard, same / max(1, overlap.height))


def users_of(lists: pl.LazyFrame) -> pl.Series:
    """Everybody with a list, by id."""
    return lists.select(pl.col("user_id").unique().sort()).collect(engine="streaming")["user_id"]


def compare(
    before: pl.LazyFrame,
    after: pl.LazyFrame,
    *,
    lengths: pl.DataFrame | None,
    titles: pl.DataFrame | None,
) -> dict[str, Any]:
    """Everything that two publications tell by themselves, as JSON values.

    lengths: `user_id, interactions`, titles: `item_id, title`; None where the date's histories
    or catalogue are no longer in the lake.
    """
    users = [users_of(lists) for lists in (before, after)]
    both = users[0].filter(users[0].is_in(users[1].implode()))
    compared = evenly_spaced(both, MOST_USERS)
    old, new = (first_ranks(lists, compared) for lists in (before, after))
    overlap = list_overlap(old, new, k=FIRST_RANKS)
    return {
        "users": {
            "in_both": len(both),
            "new": len(users[1]) - len(both),
            "gone": len(users[0]) - len(both),
        },
        "lists": _mean(overlap).to_json(),
        "by_source": _by_source(overlap, new),
        "by_history": _by_history(overlap, lengths) if lengths is not None else None,
        "sources": {"before": _shares(old), "after": _shares(new)},
        **_items(old, new, titles),
    }


def _by_source(overlap: pl.DataFrame, after: pl.DataFrame) -> dict[str, Any]:
    """By how the first item of the later list got there."""
    first = after.filter(pl.col("rank") == 1).select("user_id", "source")
    placed = overlap.join(first, on="user_id").sort("source")
    groups = placed.partition_by("source", as_dict=True, maintain_order=True)
    return {str(source): _mean(part).to_json() for (source,), part in groups.items()}


def _by_history(overlap: pl.DataFrame, lengths: pl.DataFrame) -> dict[str, Any]:
    placed = overlap.join(lengths, on="user_id", how="left").with_columns(
        pl.col("interactions").fill_null(0)
    )
    parts = {
        name: placed.filter(pl.col("interactions").is_between(*bounds))
        for name, bounds in LENGTHS.items()
    }
    return {name: _mean(part).to_json() for name, part in parts.items() if part.height}


def _shares(lists: pl.DataFrame) -> dict[str, float]:
    counts = lists.group_by("source").len().sort("source")
    return {source: n / lists.height for source, n in counts.iter_rows()}


def _items(old: pl.DataFrame, new: pl.DataFrame, titles: pl.DataFrame | None) -> dict[str, Any]:
    """Items that came into, or went out of, most first ranks."""
    counts = [frame.group_by("item_id").len(name) for frame, name in ((old, "a"), (new, "b"))]
    moved = (
        counts[0]
        .join(counts[1], on="item_id", how="full", coalesce=True)
        .with_columns(pl.col("a", "b").fill_null(0).cast(pl.Int64))
    )
    moved = moved.with_columns(by=pl.col("b") - pl.col("a"))
    if titles is not None:
        moved = moved.join(titles.select("item_id", "title"), on="item_id", how="left")

    def shown(rows: pl.DataFrame) -> list[dict[str, Any]]:
        order = rows.sort(pl.col("by").abs(), pl.col("item_id"), descending=[True, False])
        return order.head(ITEMS_SHOWN).to_dicts()

    gone, came = moved.filter(pl.col("b") == 0), moved.filter(pl.col("a") == 0)
    return {
        "items": {"in": came.height, "out": gone.height, "listed": moved.height},
        "more": shown(moved.filter(pl.col("by") > 0)),
        "less": shown(moved.filter(pl.col("by") < 0)),
    }
