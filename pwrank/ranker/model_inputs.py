"""From the lake's frames to the arrays that the models read, and nothing else.

The only bridge between ids as the source spells them and dense rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pwrank.config import TrainConfig
from pwrank.datasets import DatasetRef
from pwrank.encoder.parts import read_embeddings
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.history import UNKNOWN_ITEM, Histories
from pwrank.store import Store

BETWEEN_NAMES = re.compile(r"[|;,]")
"""`Comedy|Drama` names two categories, as do `Comedy; Drama` and `Comedy, Drama`."""

AROUND_NAMES = " \t[]'\""
"""A list that was printed into a cell, `['Comedy', 'Drama']`, names the same two."""

YEAR_SECONDS = 365 * 86_400


@dataclass(frozen=True)
class Reading:
    """How a model reads histories."""

    events: tuple[str, ...]
    """Names in the order of their codes; an event that is not there becomes code 0."""
    by_order: bool = False
    """Times say nothing but which interaction came first: see `[train] ask`."""

    @staticmethod
    def of(model: DatasetRef) -> Reading:
        """As the model was trained."""
        return Reading(tuple(model.figures["events"]), model.figures["by_order"])


@dataclass(frozen=True)
class UserHistories:
    """Some users and their interactions, in the same order."""

    user_ids: pl.Series
    """(users,) ids, ascending."""
    histories: Histories
    """The same users as rows 0..users-1; item rows point into the catalogue."""


def history_paths(store: Store, histories: DatasetRef) -> list[Path]:
    """The HISTORIES file of each shard, in order."""
    return [path for path in histories.file_paths(store.lake) if path.name.startswith("part-")]


def users_path(history_path: Path) -> Path:
    """The USERS file beside a HISTORIES file."""
    return history_path.with_name(history_path.name.replace("part-", "users-"))


def read_catalogue(store: Store, catalogue: DatasetRef, embeddings: DatasetRef) -> Catalogue:
    """The catalogue of a date with its text embeddings; rows in the order of the file."""
    (path,) = catalogue.file_paths(store.lake)
    frame = pl.read_parquet(path, columns=["item_id", "category", "available", "content_hash"])
    offsets, labels, names = split_categories(frame["category"].to_list())
    return Catalogue(
        item_ids=frame["item_id"].to_numpy(),
        text=read_embeddings(store, embeddings, frame["content_hash"].to_list()),
        category_offsets=offsets,
        category_labels=labels,
        category_names=names,
        available=frame["available"].to_numpy(),
    )


def split_categories(
    categories: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Offsets (n + 1,), labels (k,) and names; a path counts once for each of its levels."""
    numbers: dict[str, int] = {}
    offsets, labels = [0], []
    for category in categories:
        names = dict.fromkeys(_names_in(category))
        labels += [numbers.setdefault(name, len(numbers)) for name in names]
        offsets.append(len(labels))
    return np.array(offsets, np.int64), np.array(labels, np.int64), tuple(numbers)


def _names_in(category: str) -> Iterator[str]:
    """`Home > Kitchen` is a path, whose every level is a name; elsewhere see BETWEEN_NAMES."""
    if ">" not in category:
        parts = (part.strip(AROUND_NAMES) for part in BETWEEN_NAMES.split(category))
        yield from filter(None, parts)
        return
    for path in category.split("|"):
        levels = [level.strip() for level in path.split(">") if level.strip()]
        yield from (" > ".join(levels[: depth + 1]) for depth in range(len(levels)))


def read_histories(paths: Sequence[Path], item_ids: np.ndarray, reading: Reading) -> UserHistories:
    """Read HISTORIES files with every user beside them, those without an interaction included.

    item_ids: (n,) rows of the catalogue; an item that is not there becomes UNKNOWN_ITEM.
    """
    users = pl.concat([pl.read_parquet(users_path(path)) for path in paths]).sort("user_id")
    users = users.with_row_index("user")
    rows = pl.concat([pl.scan_parquet(path) for path in paths])
    return UserHistories(users["user_id"], _number_rows(rows, users, item_ids, reading))


def _number_rows(
    rows: pl.LazyFrame, users: pl.DataFrame, item_ids: np.ndarray, reading: Reading
) -> Histories:
    """HISTORIES rows as arrays. users: user (0..b-1), user_id."""
    id_type = rows.collect_schema()["item_id"]
    items = pl.DataFrame({"item_id": pl.Series(item_ids, dtype=id_type)}).with_row_index("item")
    codes = pl.DataFrame(
        {"event": list(reading.events), "code": list(range(len(reading.events)))},
        schema={"event": pl.String, "code": pl.Int16},
    )
    numbered = (
        rows.join(users.lazy(), on="user_id", how="left", maintain_order="left")
        .join(items.lazy(), on="item_id", how="left", maintain_order="left")
        .join(codes.lazy(), on="event", how="left", maintain_order="left")
        .select("user", "item", "code", "occurred_at", "rating", "weight")
        .sort("user", maintain_order=True)
        .collect()
    )
    counts = np.bincount(numbered["user"].to_numpy(), minlength=users.height)
    return _as_histories(numbered, counts, by_order=reading.by_order)


def read_some_histories(
    paths: Sequence[Path], user_ids: pl.Series, item_ids: np.ndarray, reading: Reading
) -> Histories:
    """Histories of the given users, in the given order; unknown users have an empty one."""
    users = user_ids.to_frame("user_id").with_row_index("user")
    wanted = user_ids.drop_nulls().implode()
    rows = pl.concat([pl.scan_parquet(p).filter(pl.col("user_id").is_in(wanted)) for p in paths])
    return _number_rows(rows, users, item_ids, reading)


def _as_histories(rows: pl.DataFrame, counts: np.ndarray, *, by_order: bool) -> Histories:
    return Histories(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        item=rows["item"].cast(pl.Int64).fill_null(UNKNOWN_ITEM).to_numpy(),
        timestamp=_times(rows["occurred_at"].dt.epoch("s").to_numpy(), counts, by_order=by_order),
        event=rows["code"].fill_null(0).to_numpy(),
        rating=rows["rating"].fill_null(float("nan")).to_numpy(),
        weight=rows["weight"].to_numpy(),
    )


def _times(timestamp: np.ndarray, counts: np.ndarray, *, by_order: bool) -> np.ndarray:
    """Unix seconds; without times, or by order, places in histories spread over the year to 1970.

    The newest eighth of every history is then the latest window, by which training is judged, and
    all of it lies before any cut. counts: (users,) rows of each user.
    """
    if not len(timestamp) or (timestamp.any() and not by_order):
        return timestamp
    place = np.arange(len(timestamp)) - np.repeat(np.cumsum(counts) - counts, counts)
    spread: np.ndarray = (place + 1) * YEAR_SECONDS // np.repeat(counts, counts)
    return spread - YEAR_SECONDS


def new_reading(config: TrainConfig, paths: Sequence[Path]) -> Reading:
    """How a model to be trained on these HISTORIES files reads them: events by their names."""
    scan = pl.concat([pl.scan_parquet(path).select("event") for path in paths])
    events = scan.unique().sort("event").collect()["event"].to_list()
    return Reading(tuple(events), by_order=config.ask == "next")
