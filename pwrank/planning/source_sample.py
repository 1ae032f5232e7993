"""The first rows of a source file, as landing would type them; nothing is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.datasets import NO_TIME, IdTypes
from pwrank.landing.land import typed_batch
from pwrank.landing.suppression import Sieve, Suppression
from pwrank.sources import SourceFile, read_batches


@dataclass(frozen=True)
class Rejected:
    """Rows that cannot be used, for one reason, and the first of them."""

    reason: str
    rows: int
    line: int
    raw: str
    """The row as JSON."""


@dataclass(frozen=True)
class Sample:
    """The first rows of one file."""

    file: SourceFile
    rows: pl.DataFrame
    """Typed rows, in the contract of the table."""
    rejects: pl.DataFrame
    columns: tuple[str, ...]
    """Of the source."""
    whole: bool
    """Whether the file has no other rows."""

    @property
    def rows_in(self) -> int:
        """Rows that were read."""
        return self.rows.height + self.rejects.height

    @property
    def has_times(self) -> bool:
        """Whether these rows of interactions say when they happened."""
        return bool((self.rows["occurred_at"] != NO_TIME).any())

    def rejected(self) -> tuple[Rejected, ...]:
        """What cannot be used, by reason, in the order of the file."""
        by_reason = self.rejects.group_by("reason", maintain_order=True)
        found = by_reason.agg(pl.len(), pl.col("source_line", "raw").first())
        return tuple(Rejected(*row) for row in found.iter_rows())

    def example(self) -> dict[str, Any]:
        """The first of the fullest rows as JSON values.

        Times in ISO 8601, null for no time and for no number.
        """
        shown = self.rows.drop("ingested_at", "source_file")
        told = pl.all().cast(pl.String, strict=False).fill_null("") != ""
        fullest = shown.select(pl.sum_horizontal(told).arg_max()).item()
        shown = shown.slice(fullest or 0, 1)
        return {
            name: _as_json(value)
            for row in shown.iter_rows(named=True)
            for name, value in row.items()
        }


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return None if value == NO_TIME else value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_sample(
    file: SourceFile,
    config: Config,
    *,
    ids: IdTypes,
    suppression: Suppression,
    now: datetime,
    most_rows: int,
) -> Sample:
    """Read up to about so many rows, as a landing at `now` would. Raises what that would raise."""
    batches = read_batches(file, config.source, batch_rows=most_rows)
    first = next(batches)
    rest = islice(batches, 1)
    whole = all(batch.rows.height + batch.rejects.height == 0 for batch in rest)
    typed = typed_batch(first, file, config, ids=ids, ingested_at=now)
    rows, rejects = Sieve(suppression, file.table).sift(*typed)
    return Sample(file, rows, rejects, tuple(first.rows.columns), whole)
