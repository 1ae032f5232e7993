"""The outer split of the board: a lake without the held-out rows, and those rows beside it.

Below `<lake>-benchmark`: `landed`, a lake in which the source is landed and nothing else, and a
folder for every split, named by what it was made from; all of it may be removed at any time.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from pwrank.config import CleanConfig, Config
from pwrank.config_file import section_hash
from pwrank.datasets import NO_TIME
from pwrank.errors import ConfigError, InputError
from pwrank.evaluation.holdout import has_times
from pwrank.evaluation.known_log import KnownLog, SplitRule, inner_split
from pwrank.landing.drops import Drop
from pwrank.landing.held_out import copy_without, known_drops, link
from pwrank.landing.suppression import read_record, write_record
from pwrank.run import Run, cut_of
from pwrank.store import Store, fingerprint, read_json, write_json, write_parquet
from pwrank.views import cleaning
from pwrank.views.file_order import OrderEvidence, by_chance

SPLIT_VERSION = 3
"""Raise when the same rows would be parted otherwise."""

JUDGED_LENGTH = 20
"""Ranks that the board looks at."""


@dataclass(frozen=True)
class BoardSplit:
    """What is held out of one board, and where the rest lies."""

    rule: SplitRule
    end: date
    """Nothing from 00:00 of this date on exists for the board."""
    folder: Path
    held_rows: int
    """Interactions held out, cleaned by the rules of `[clean]`."""
    has_times: bool
    """Whether the interactions say when they happened."""
    in_order: bool
    """Whether the files say which came first."""

    @property
    def lake(self) -> Path:
        """The lake that lacks the held-out rows."""
        return self.folder / "lake"

    @property
    def held_out(self) -> Path:
        """Parquet file `user_id, item_id, occurred_at` of the held-out interactions."""
        return self.folder / "held-out.parquet"

    @property
    def as_of(self) -> date:
        """The as-of date of the run that is judged."""
        return self.rule.begins(self.end)

    def run(self, config: Config, now: datetime) -> Run:
        """The run that is judged: the configuration as it is, in the lake of the split.

        Only lists shorter than what is judged are made as long, and where the last interaction of
        each user is held out, that is what is asked for, whenever it was.
        """
        k = max(config.score.k, JUDGED_LENGTH)
        score = {"k": k, "candidates": max(config.score.candidates, k)}
        there = {"lake": self.lake, "score": config.score.model_copy(update=score)}
        if not self.has_times:  # what is left must be read as it was parted
            order = {"file_order": "trust" if self.in_order else "ignore"}
            there["clean"] = config.clean.model_copy(update=order)
        if self.rule.days is None:
            there["train"] = config.train.model_copy(update={"ask": "next"})
        return Run(config.model_copy(update=there), self.as_of, now, now)

    def told(self) -> str:
        """What is held out, in words."""
        if self.rule.days is None:
            if not self.in_order:
                return "an interaction of each user by chance is held out, since they tell no order"
            before = f" before {self.end}" if self.has_times else ""
            return f"the last interaction of each user{before} is held out"
        return f"{self.as_of} to {self.end - timedelta(days=1)} is held out"


def board_folder(config: Config) -> Path:
    """Where everything of the board is put: beside the lake, never in it."""
    return config.lake.with_name(config.lake.name + "-benchmark")


def open_landed(config: Config) -> Store:
    """The lake in which the source is landed for every board.

    Whom the user's lake has forgotten, this one never lands; a later forgetting empties it first.
    """
    landed, record = Store(board_folder(config) / "landed"), read_record(Store(config.lake))
    if landed.lake.exists() and read_record(landed) != record:
        remove_boards(config)
    landed.open()
    write_record(landed, record)
    return landed


def remove_boards(config: Config) -> None:
    """Remove everything that boards of this lake have left."""
    shutil.rmtree(board_folder(config), ignore_errors=True)


def split_log(config: Config, rule: SplitRule, *, end: date | None, now: datetime) -> BoardSplit:
    """Part the landed log by the rule, or name the same split that was made before.

    end: nothing from 00:00 of it on exists; by default the day after the last interaction, or of a
    log without times after it was landed. Raises InputError where nothing can be held out, or
    nothing would be left.
    """
    landed = Store(board_folder(config) / "landed")
    drops = known_drops(landed, now, "interactions")
    rows, in_order = _clean_rows(landed, drops, known_drops(landed, now, "items"), config.clean)
    every = [d for t in ("interactions", "items", "users") for d in known_drops(landed, now, t)]
    timed, latest = has_times(rows.lazy()), rows.select(pl.col("occurred_at").max()).item()
    landed_at = max(drop.ingested_at for drop in every)
    end = end or _day_after(latest if timed else landed_at, config.time_zone)
    rows = rows.filter(pl.col("occurred_at") < cut_of(end, config.time_zone))
    held = _held_out(rows, rule, end)
    made_from = [drop.content_key for drop in every], section_hash(config.clean), end
    key = fingerprint(SPLIT_VERSION, rule.name, *made_from)
    folder = board_folder(config) / f"{rule.name}-{key}"
    split = BoardSplit(rule, end, folder, held.height, timed, in_order)
    marker = split.folder / "split.json"
    if marker.exists() and read_json(marker)["held_rows"] == held.height:
        return split
    shutil.rmtree(split.folder, ignore_errors=True)
    removed = (
        _lines_removed(landed, drops, held, config.clean) if rule.days is None else _no_lines()
    )
    target = Store(split.lake)
    copy_without(landed, target, known_at=now, removed=removed, owed=held["user_id"])
    _link_embeddings(config.lake, split.lake)
    write_parquet(held.select("user_id", "item_id", "occurred_at"), split.held_out)
    write_json(marker, {"held_rows": held.height})
    return split


def refuse_untunable(split: BoardSplit, config: Config, now: datetime) -> None:
    """Raise InputError before anything is trained if what is left is too little to tune on."""
    store, cut = Store(split.lake), cut_of(split.as_of, config.time_zone)
    drops, items = (known_drops(store, now, table) for table in ("interactions", "items"))
    rows = _clean_rows(store, drops, items, config.clean)[0].filter(pl.col("occurred_at") < cut)
    seen = config.score.exclude_seen
    log = KnownLog(rows, rows["item_id"], split.as_of, seen, time_zone=config.time_zone)
    inner_split(log, split.rule)


def _clean_rows(
    store: Store, drops: list[Drop], items: list[Drop], clean: CleanConfig
) -> tuple[pl.DataFrame, bool]:
    """All landed interactions after the rules of `[clean]`, by user and time; whether in order.

    Held whole in memory: some 100 bytes a row.
    """
    paths = [store.lake / name for drop in drops for name in drop.files]
    if not paths:
        raise InputError("the source has no usable interactions; `pwrank check` tells why")
    known = [store.lake / name for drop in items for name in drop.files]
    names = pl.scan_parquet(known).select(pl.col("item_id").unique()).collect()["item_id"]
    rows = pl.read_parquet(paths)
    in_order = not by_chance(OrderEvidence.of(rows), clean)
    rows, _ = cleaning.clean_shard(rows, clean, names, in_order=in_order)
    counts = rows.group_by("item_id").len()
    rows, _ = cleaning.drop_rare_items(rows, counts, clean.min_item_interactions)
    if rows.is_empty():
        raise InputError(
            "no interaction is left by [clean]; `pwrank check` shows how rows are read"
        )
    return rows, in_order


def _day_after(moment: datetime, time_zone: str) -> date:
    return moment.astimezone(ZoneInfo(time_zone)).date() + timedelta(days=1)


def _held_out(rows: pl.DataFrame, rule: SplitRule, end: date) -> pl.DataFrame:
    """The rows that the rule holds out; refuses a split of which one side is empty."""
    if rule.days and not has_times(rows.lazy()):
        raise ConfigError("--holdout-days: the interactions have no times; use --leave-last")
    held = rows.filter(rule.marks(rows, end))
    if held.is_empty():
        raise InputError(f"nothing to hold out: {_told(rows)}; choose another --as-of")
    if held.height == rows.height:
        raise InputError(
            f"nothing would be left to learn from: {_told(rows)}; "
            + ("hold out fewer days" if rule.days else "no user has two interactions")
        )
    return held


def _told(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "no interaction lies before that date"
    if not has_times(rows.lazy()):
        return f"{rows.height:,} interactions without times"
    when = pl.col("occurred_at")
    first, last = rows.select(when.min().alias("first"), when.max().alias("last")).row(0)
    return f"{rows.height:,} interactions from {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _no_lines() -> pl.DataFrame:
    return pl.DataFrame(schema={"source_file": pl.String, "source_line": pl.Int64})


def _lines_removed(
    store: Store, drops: list[Drop], held: pl.DataFrame, clean: CleanConfig
) -> pl.DataFrame:
    """Lines of the held-out rows, and of the twins that `[clean]` would put in their place.

    A twin is the same user, item and event at the same time, or on the same day where such rows
    are merged. Without times it has none unless they are: then each stands for an event of its own.
    """
    paths = [store.lake / name for drop in drops for name in drop.files]
    moment = pl.col("occurred_at")
    if clean.repeated != "keep":
        moment = moment.dt.truncate("1d")
    keys = ["user_id", "item_id", "event", "moment"]
    may_have = held
    if clean.repeated == "keep":
        may_have = held.filter(pl.col("occurred_at") > NO_TIME)
    named = may_have.with_columns(moment=moment).select(keys).unique()
    rows = pl.scan_parquet(paths).with_columns(moment=moment)
    twins = rows.join(named.lazy(), on=keys, how="semi")
    lines = twins.select("source_file", "source_line").collect()
    return pl.concat([lines, held.select("source_file", "source_line")]).unique()


def _link_embeddings(lake: Path, target: Path) -> None:
    """Texts that the user's lake has vectors for need not be encoded again."""
    for part in (lake / "embeddings").glob("*/part-*.parquet"):
        link(part, target / "embeddings" / part.parent.name / part.name)
