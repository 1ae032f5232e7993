"""The first rows of a source file, as landing would type them; nothing is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from pwrank.views.catalogue import render_text

MANY_ZEROS = 0.05
"""Share of ratings of 0 from which on they are odd, where all others are 1 or more."""


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

    def fullest(self) -> pl.DataFrame:
        """The first of the fullest rows."""
        told = pl.all().cast(pl.String, strict=False).fill_null("") != ""
        place = self.rows.select(pl.sum_horizontal(told).arg_max()).item()
        return self.rows.slice(place or 0, 1)

    def example(self) -> dict[str, Any]:
        """The first of the fullest rows as JSON values.

        Times in ISO 8601, null for no time and for no number.
        """
        shown = self.fullest().drop("ingested_at", "source_file")
        return {
            name: _as_json(value)
            for row in shown.iter_rows(named=True)
            for name, value in row.items()
        }


def embedded_text(items: Sample, config: Config) -> str:
    """What will be embedded of the example of an items file; '' where it has no row."""
    return "".join(render_text(items.fullest(), config.encoder.text_template))


def span_of(interactions: Sequence[Sample]) -> tuple[str, str] | None:
    """First and last time, in ISO 8601; None where no row has one."""
    at = pl.col("occurred_at")
    times = pl.concat(sample.rows.select(at) for sample in interactions).filter(at != NO_TIME)
    first, last = times.select(at.min(), at.max().alias("last")).row(0)
    return (first.isoformat(), last.isoformat()) if first else None


def zeros_beside_ratings(interactions: Sequence[Sample]) -> int:
    """Ratings of 0 among others from 1 on: they may say that none was given."""
    ratings = pl.concat(sample.rows["rating"] for sample in interactions).drop_nulls()
    given = ratings.filter(ratings != 0)
    zeros = len(ratings) - len(given)
    odd = zeros >= MANY_ZEROS * len(ratings) and len(given) > 0 and bool((given >= 1).all())
    return zeros if odd else 0


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
