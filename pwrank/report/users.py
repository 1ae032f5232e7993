"""One user as a person wants to see it: history, list, reasons, with titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from pwrank.datasets import NO_TIME, DatasetRef, IdType, IdTypes, whole_numbers
from pwrank.errors import LakeError
from pwrank.publication import read_rankings
from pwrank.published_refs import NightRefs
from pwrank.ranker.model_inputs import history_paths
from pwrank.store import Store

NEWEST = 10
"""Interactions shown of a history."""


@dataclass(frozen=True)
class ShownUser:
    """Everything about one user on one date; rows as plain data."""

    user_id: Any
    interactions: int
    history: Sequence[dict[str, Any]]
    """Newest first: occurred_at (None in a log without times), event, item_id, title."""
    ranking: Sequence[dict[str, Any]]
    """rank, item_id, title, score, source, reasons (titles)."""


def show_users(
    store: Store, night: NightRefs, as_of: date, user_ids: pl.Series, *, most: int = 10
) -> list[ShownUser]:
    """Some users as published. Raises LakeError for a user without a list."""
    return _show_all(store, night, read_rankings(store.lake, as_of), user_ids, most=most)


def show_staged(
    store: Store, night: NightRefs, staged: DatasetRef, user_ids: pl.Series, *, most: int = 10
) -> list[ShownUser]:
    """Some users as staged, whether the gates let them through or not."""
    lists = pl.scan_parquet(staged.file_paths(store.lake))
    return _show_all(store, night, lists, user_ids, most=most)


def _show_all(
    store: Store, night: NightRefs, rankings: pl.LazyFrame, user_ids: pl.Series, *, most: int
) -> list[ShownUser]:
    (path,) = night.catalogue.file_paths(store.lake)
    titles = pl.read_parquet(path, columns=["item_id", "title"])
    wanted = user_ids.implode()
    lists = rankings.filter(pl.col("user_id").is_in(wanted) & (pl.col("rank") <= most)).collect()
    histories = (
        pl.scan_parquet(history_paths(store, night.histories))
        .filter(pl.col("user_id").is_in(wanted))
        .collect()
    )
    return [_show(user, lists, histories, titles) for user in user_ids.to_list()]


def sample_users(store: Store, night: NightRefs, rankings: pl.LazyFrame, number: int) -> pl.Series:
    """Users with a list, spread over the user base, best with a middling history.

    The same ones every time.
    """
    listed = rankings.filter(pl.col("rank") == 1).select("user_id")
    counts = (
        pl.scan_parquet(history_paths(store, night.histories))
        .group_by("user_id")
        .len()
        .join(listed, on="user_id", how="semi")
        .sort("user_id")
        .collect()
    )
    middling = counts.filter(pl.col("len").is_between(5, 60))
    users = (middling if middling.height >= number else counts)["user_id"]
    step = max(1, len(users) // (number + 1))
    return users.gather_every(step, offset=min(step, max(0, len(users) - number)))[:number]


def _show(
    user: Any, lists: pl.DataFrame, histories: pl.DataFrame, titles: pl.DataFrame
) -> ShownUser:
    ranking = lists.filter(pl.col("user_id") == user)
    if ranking.is_empty():
        raise LakeError(f"user {user!r} has no list on this date: no interaction before it")
    history = histories.filter(pl.col("user_id") == user)
    newest = (
        history.tail(NEWEST).reverse().join(titles, on="item_id", how="left", maintain_order="left")
    )
    when = pl.col("occurred_at").replace(NO_TIME, None)
    named = pl.coalesce(pl.col("title").replace("", None), pl.col("item_id").cast(pl.String))
    reasons = (
        ranking.select("rank", pl.col("reason_item_ids").alias("item_id"))
        .explode("item_id")
        .join(titles, on="item_id", how="left", maintain_order="left")
        .group_by("rank", maintain_order=True)
        .agg(named.drop_nulls().alias("reasons"))
    )
    told = ranking.join(titles, on="item_id", how="left", maintain_order="left").join(
        reasons, on="rank", how="left", maintain_order="left"
    )
    return ShownUser(
        user_id=user,
        interactions=history.height,
        history=newest.select(when, "event", "item_id", "title").to_dicts(),
        ranking=told.select("rank", "item_id", "title", "score", "source", "reasons").to_dicts(),
    )


def as_user_ids(store: Store, texts: Sequence[str]) -> pl.Series:
    """Ids typed on a command line, in the type of the lake, without white space around them.

    Raises LakeError if they cannot be.
    """
    ids = store.id_types() or IdTypes()
    try:
        spelled = pl.Series("user_id", list(texts)).str.strip_chars()
    except UnicodeEncodeError:
        raise LakeError(f"user id {texts!a}: not text in UTF-8") from None
    if ids.user is IdType.STRING:
        return spelled
    numbers = whole_numbers(spelled)
    if numbers.has_nulls():
        raise LakeError(f"user ids of this lake are whole numbers, not {texts}")
    return numbers
