"""Whether the order of rows without times says anything, and an order by chance where it does not.

A file that was sorted, by item or by rating, holds no order of events. Taken for one, it teaches a
model to go on with the sorting, and lists become worse than popularity (CHANGELOG, 2026-11-27).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pwrank.config import CleanConfig
from pwrank.datasets import NO_TIME
from pwrank.store import crc32_of

FEWEST_STEPS = 200
"""From one row of a user to the next that differs, before anything is said."""

SORTED = 0.95
"""Share of such steps in one direction from which on the rows were sorted. Events of people step up
as often as down: of four real logs in time 50 to 54 % by id, 50 % by rating."""


@dataclass
class OrderEvidence:
    """Steps up and down from row to row of each user, by what might have sorted them."""

    rows: int = 0
    """Without times."""
    up: Counter[str] = field(default_factory=Counter)
    down: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, *frames: pl.DataFrame) -> OrderEvidence:
        """What INTERACTIONS rows tell together; a file lies whole in one frame."""
        evidence = cls()
        for rows in frames:
            evidence.add(rows)
        return evidence

    def add(self, rows: pl.DataFrame) -> None:
        """Look at INTERACTIONS rows; those with times say nothing of sorting."""
        rows = rows.filter(pl.col("occurred_at") <= NO_TIME)
        self.rows += rows.height
        if rows.is_empty():
            return
        first = pl.col("source_line").min().over("source_file", "item_id")
        rows = rows.with_columns(
            # An item at its first row says nothing: in any order that row comes after all before.
            pl.when(first < pl.col("source_line")).then(first).alias("item"),
            pl.col("item_id").cast(pl.String).cast(pl.Int64, strict=False).alias("number"),
        ).sort("user_id", "source_file", "source_line")
        together = pl.all_horizontal(
            pl.col(name) == pl.col(name).shift() for name in ("user_id", "source_file")
        )
        keys = ("item_id", "number", "item", "rating", "weight")
        steps = rows.select(
            *((together & (pl.col(key) > pl.col(key).shift())).sum().alias(key) for key in keys),
            *(
                (together & (pl.col(key) < pl.col(key).shift())).sum().alias(f"less {key}")
                for key in keys
            ),
        ).row(0, named=True)
        for key in keys:
            self.up[key] += steps[key]
            self.down[key] += steps[f"less {key}"]

    def sorted_by(self) -> str:
        """The column by which the rows of a user are sorted; '' if by none."""
        for key in self.up:
            up, down = self.up[key], self.down[key]
            if up + down >= FEWEST_STEPS and max(up, down) >= SORTED * (up + down):
                return {"number": "item_id", "item": "item_id"}.get(key, key)
        return ""


def by_chance(evidence: OrderEvidence, config: CleanConfig) -> str:
    """Why the rows of a user are in no order, in words; '' where times or files tell it."""
    if not evidence.rows or config.file_order == "trust":
        return ""
    if config.file_order == "ignore":
        return '[clean] file_order = "ignore"'
    name = evidence.sorted_by()
    return f"the rows of each user are sorted by {name}" if name else ""


def chance(rows: pl.DataFrame) -> pl.Series:
    """A number for each row without a time, 0 for others; rows: in the order of their files.

    Told by the user, the item, and how often the user had it before alone: whatever rows stand
    beside. The finaliser of SplitMix64 (Steele et al., OOPSLA 2014) over their checksums.
    """
    user, item = (crc32_of(rows[name]).to_numpy() for name in ("user_id", "item_id"))
    mixed = (user.astype(np.uint64) << np.uint64(32)) | item.astype(np.uint64)
    before = rows.select(pl.int_range(pl.len()).over("user_id", "item_id")).to_series().to_numpy()
    mixed += before.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    mixed[(rows["occurred_at"] > NO_TIME).to_numpy()] = 0
    return pl.Series("chance", mixed)
