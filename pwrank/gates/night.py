"""Every gate over the staged parts, read from the lake rather than told by the stages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.datasets import HISTORIES, RANKINGS, DatasetRef, IdTypes
from pwrank.errors import ContractError
from pwrank.gates.comparison import LastLists, compare_with_last
from pwrank.gates.floor import judge_floor
from pwrank.gates.model import judge_model, model_of
from pwrank.gates.rows import ShardCheck, check_shard, row_verdicts
from pwrank.gates.verdicts import Verdict, overridden
from pwrank.publication import last_publication, read_rankings
from pwrank.published_refs import NightRefs
from pwrank.ranker.model_inputs import history_paths, users_path
from pwrank.remembered import recorded_overrides
from pwrank.run import Run
from pwrank.store import Progress

HOT_ITEMS, HOT_DAYS = 20, (1, 7)
"""Items of the last day, and of the last week, that may rise into every list overnight."""

LISTS_DEPEND_ON = ("clean", "encoder", "index", "score", "rerank")
"""Sections of the configuration that change the lists of one and the same model."""


def judge_night(
    run: Run, *, staged: DatasetRef, night: NightRefs, tell: Progress | None = None
) -> list[Verdict]:
    """What every gate says of the staged lists, with the overrides of the run.

    And those with which these very lists were published before.
    """
    checks = check_parts(run, staged=staged, night=night, tell=tell)
    last = last_publication(run.store, run.as_of)
    lists = _last_lists(run, night, last) if last else None
    users = sum(check.users_listed for check in checks)
    hot = hot_items(history_paths(run.store, night.histories))
    parts = staged.file_paths(run.store.lake)
    found = [
        *row_verdicts(checks, run.config),
        *compare_with_last(parts, users, lists, run.config.gates, hot=hot),
        *judge_floor(run, night, checks),
        *judge_model(run, night, new=last is None or model_of(last) != night.model.key),
    ]
    recorded = recorded_overrides(run.store, run.as_of, version=staged.key)
    return overridden(found, recorded | dict(run.overrides))


def hot_items(histories: list[Path]) -> pl.Series:
    """`item_id` of the items that most was done with in the last day, or week, of the log."""
    rows = pl.scan_parquet(histories).select("item_id", "occurred_at")
    end = rows.select(pl.col("occurred_at").max()).collect().item()
    if end is None:
        return rows.select("item_id").collect()["item_id"]
    hottest = [
        rows.filter(pl.col("occurred_at") > end - timedelta(days=days))
        .group_by("item_id")
        .len()
        .sort("len", "item_id", descending=[True, False])
        .head(HOT_ITEMS)
        .select("item_id")
        for days in HOT_DAYS
    ]
    return pl.concat(hottest).unique().sort("item_id").collect()["item_id"]


def _last_lists(run: Run, night: NightRefs, last: Mapping[str, Any]) -> LastLists:
    recent = date.fromisoformat(last["as_of"]) + timedelta(days=run.config.gates.compare_days)
    config = run.config.model_dump(mode="json", include=set(LISTS_DEPEND_ON))
    same_making = (
        run.as_of <= recent
        and model_of(last) == night.model.key
        and all(last["config"].get(name) == config[name] for name in LISTS_DEPEND_ON)
    )
    return LastLists(last["as_of"], read_rankings(run.store.lake, last["as_of"]), same_making)


def check_parts(
    run: Run,
    *,
    staged: DatasetRef,
    night: NightRefs,
    tell: Progress | None = None,
) -> list[ShardCheck]:
    """Look at every row, one shard in memory at a time."""
    store, config = run.store, run.config
    ids = store.id_types() or IdTypes()
    (catalogue_path,) = night.catalogue.file_paths(store.lake)
    items = pl.read_parquet(catalogue_path, columns=["item_id", "available"])
    parts = history_paths(store, night.histories)
    checks: list[ShardCheck] = []
    for staged_path, history_path in zip(staged.file_paths(store.lake), parts, strict=True):
        rankings = pl.read_parquet(staged_path)
        if rankings.schema != RANKINGS.schema(ids):
            raise ContractError(f"{staged_path}: schema {rankings.schema}")
        users = pl.read_parquet(users_path(history_path))
        seen = pl.read_parquet(history_path, columns=list(HISTORIES.columns)[:2])
        owed = owed_users(users, history_path, run)
        checks.append(check_shard(rankings, owed, seen=seen, catalogue=items, config=config))
        if tell:
            tell(rankings.height)
    rows = sum(check.rows for check in checks)
    if rows != staged.rows:
        raise ContractError(f"{staged.path}: {staged.rows} rows staged, {rows} found")
    return checks


def owed_users(users: pl.DataFrame, history_path: Path, run: Run) -> pl.DataFrame:
    """Users of a shard who are owed a list: all, or with `active_days` the recently active."""
    days = run.config.score.active_days
    if not days:
        return users
    since = pl.lit(run.cut) - pl.duration(days=days)
    recent = pl.scan_parquet(history_path).filter(pl.col("occurred_at") >= since)
    return users.join(recent.select("user_id").unique().collect(), on="user_id", how="semi")
