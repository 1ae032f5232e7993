"""A held-out file for a log that has none: the newest interactions, cut at a midnight."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from pwrank.config_file import load_config
from pwrank.landing.parsing import parse_interactions
from pwrank.sources import id_types, list_files, read_batches

NEWEST_SHARE = 0.05


def split_by_time(config_path: Path, holdout: Path) -> date:
    """Write the newest twentieth of the interactions to `holdout`; returns the as-of date.

    The date is UTC; nothing of the held-out rows lies before it.
    """
    config = load_config(config_path)
    files = list_files(config.source)
    ids = id_types(files, config.source)
    frames = []
    for file in files:
        if file.table == "interactions":
            for batch in read_batches(file, config.source):
                rows, _ = parse_interactions(
                    batch.rows,
                    config,
                    file=file,
                    ids=ids,
                    ingested_at=datetime.max.replace(tzinfo=UTC),
                )
                frames.append(rows.select("user_id", "item_id", "occurred_at", "rating"))
    rows = pl.concat(frames)
    ordered = rows["occurred_at"].sort()
    as_of: date = ordered[int(len(ordered) * (1 - NEWEST_SHARE))].date()
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    newest = rows.filter(pl.col("occurred_at") >= midnight)
    newest.rename({"occurred_at": "timestamp"}).write_csv(holdout)
    return as_of
