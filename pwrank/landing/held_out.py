"""A lake that knows the same drops as another, except for rows that are held out of it.

For the quality board: the stages then run on it as on any lake, and cannot know what they are
judged by. Files are hard links where nothing changes; the ledger counts what was held out.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl

from pwrank.datasets import INTERACTIONS, LISTED_USERS, IdTypes
from pwrank.landing.drops import Drop, read_drops, visible_drops, write_drop
from pwrank.landing.parsing import PARSERS
from pwrank.sources import Table
from pwrank.store import Store, fingerprint, write_dataset

HELD_OUT = "held out"
"""Reason under which the ledger counts the rows that the new lake lacks."""

OWED = "held-out users"
"""Source file of the users who are owed a list because they are judged."""


def known_drops(store: Store, known_at: datetime, table: Table) -> list[Drop]:
    """The drops of a table that a run at `known_at` reads."""
    return visible_drops(read_drops(store, table), known_at)


def copy_without(
    landed: Store, target: Store, *, known_at: datetime, removed: pl.DataFrame, owed: pl.Series
) -> None:
    """Fill a new lake with the landed drops but for some rows of the interactions.

    removed: `source_file, source_line`. owed: users who get a list whatever they did.
    """
    ids = landed.id_types() or IdTypes()
    target.open().set_id_types(ids)
    for table in PARSERS:
        for drop in known_drops(landed, known_at, table):
            lines = removed.filter(pl.col("source_file") == drop.source_file)
            if table == "interactions" and lines.height:
                _copy_rows(landed, target, drop, lines, ids)
            else:
                for name in (*drop.files, *drop.reject_files):
                    link(landed.lake / name, target.lake / name)
                write_drop(target, replace(drop, supersedes=None))
    _list_users(target, owed, known_at, ids)


def _copy_rows(landed: Store, target: Store, drop: Drop, lines: pl.DataFrame, ids: IdTypes) -> None:
    """One drop of interactions without some of its lines."""
    kept, files = 0, []
    for name in drop.files:
        rows = pl.read_parquet(landed.lake / name)
        rows = rows.join(
            lines, on=["source_file", "source_line"], how="anti", maintain_order="left"
        )
        if rows.height:
            kept += write_dataset(target, INTERACTIONS, rows, target.lake / name, ids)
            files.append(name)
    for name in drop.reject_files:
        link(landed.lake / name, target.lake / name)
    rejected = {**drop.rejected, HELD_OUT: drop.rows_landed - kept}
    write_drop(
        target,
        replace(drop, supersedes=None, rows_landed=kept, rejected=rejected, files=tuple(files)),
    )


def _list_users(target: Store, owed: pl.Series, known_at: datetime, ids: IdTypes) -> None:
    """Name the judged users in the users table."""
    users = owed.unique().sort().to_frame("user_id")
    rows = users.select(
        "user_id",
        pl.lit(known_at).cast(pl.Datetime("us", "UTC")).alias("ingested_at"),
        pl.lit(OWED).alias("source_file"),
        (pl.int_range(pl.len()) + 1).alias("source_line"),
    )
    content = fingerprint(users["user_id"].cast(pl.String).to_list())
    name = f"users/{content}/part-00000.parquet"
    write_dataset(target, LISTED_USERS, rows, target.lake / name, ids)
    drop = Drop(
        id=content,
        table="users",
        source_file=OWED,
        sha256=content,
        size=0,
        mtime_ns=0,
        parse_key="",
        ingested_at=known_at,
        supersedes=None,
        rows_in=rows.height,
        rows_landed=rows.height,
        rejected={},
        files=(name,),
        reject_files=(),
    )
    write_drop(target, drop)


def link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(source, target)
