"""The Parquet contracts: schema, key and order of every dataset, in one place.

Ids keep the type of the source, string or int64, so a schema is asked for with the id types of
the lake. Contracts are `polars.Schema`s because polars, pyarrow and DuckDB disagree on type names
but read the same files (a polars String is `large_string` to pyarrow).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.errors import ContractError

UTC_MICROSECONDS = pl.Datetime("us", "UTC")
LAKE_FORMAT = 1
"""Version of the lake's layout; a lake of another version is refused."""

NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""`occurred_at` of every row of a source without times: their order is `source_line`,
if that is one (`views.file_order`)."""


def as_told(occurred_at: datetime | None) -> datetime | None:
    """What is told of a moment: None where it stands for no time."""
    return None if occurred_at == NO_TIME else occurred_at


class IdType(StrEnum):
    """Type of an id, as the source has it."""

    STRING = "string"
    INT64 = "int64"

    @property
    def dtype(self) -> pl.DataType:
        """The polars type."""
        return pl.String() if self is IdType.STRING else pl.Int64()


def whole_numbers(texts: pl.Series) -> pl.Series:
    """int64 of texts that spell one, null of others: "007" would come back as another id."""
    whole = texts.cast(pl.Int64, strict=False)
    return whole.set(whole.cast(pl.String) != texts, None)


@dataclass(frozen=True)
class IdTypes:
    """Types of `user_id` and `item_id` in one lake."""

    user: IdType = IdType.STRING
    item: IdType = IdType.STRING


@dataclass(frozen=True)
class Dataset:
    """A typed Parquet contract.

    `columns` holds the fixed types; `user_id` and `item_id`, `user ids` and `item ids` get
    theirs from the lake. `key` is unique and never null, `sort` is the order inside each file.
    """

    name: str
    columns: Mapping[str, Any]
    key: tuple[str, ...]
    sort: tuple[str, ...]
    nullable: tuple[str, ...] = ()

    def schema(self, ids: IdTypes) -> pl.Schema:
        """Column names and types for a lake with these id types."""
        fixed: dict[str, pl.DataType] = {}
        for name, dtype in self.columns.items():
            if dtype is USER_ID:
                fixed[name] = ids.user.dtype
            elif dtype is ITEM_ID:
                fixed[name] = ids.item.dtype
            elif dtype is ITEM_IDS:
                fixed[name] = pl.List(ids.item.dtype)
            else:
                fixed[name] = dtype
        return pl.Schema(fixed)

    def check(self, frame: pl.DataFrame, ids: IdTypes, *, place: str) -> None:
        """Raise ContractError unless the frame has the schema, no forbidden null, a unique key."""
        wanted = self.schema(ids)
        if frame.schema != wanted:
            raise ContractError(f"{place}: schema {frame.schema} is not {self.name}'s {wanted}")
        required = [name for name in wanted if name not in self.nullable]
        for name, nulls in frame.select(pl.col(required).null_count()).row(0, named=True).items():
            if nulls:
                raise ContractError(f"{place}: {nulls} rows without {name}")
        if self.key and frame.select(pl.struct(self.key).is_duplicated().any()).item():
            raise ContractError(f"{place}: key {self.key} of {self.name} is not unique")


USER_ID, ITEM_ID, ITEM_IDS = object(), object(), object()

INTERACTIONS = Dataset(
    "interactions",
    {
        "user_id": USER_ID,
        "item_id": ITEM_ID,
        "event": pl.String(),
        "occurred_at": UTC_MICROSECONDS,
        "ingested_at": UTC_MICROSECONDS,
        "rating": pl.Float32(),
        "weight": pl.Float32(),
        "source_file": pl.String(),
        "source_line": pl.Int64(),
    },
    key=("source_file", "source_line"),
    sort=("source_line",),
    nullable=("rating",),
)

ITEMS = Dataset(
    "items",
    {
        "item_id": ITEM_ID,
        "title": pl.String(),
        "text": pl.String(),
        "category": pl.String(),
        "available": pl.Boolean(),
        "updated_at": UTC_MICROSECONDS,
        "ingested_at": UTC_MICROSECONDS,
        "attributes": pl.String(),
        "source_file": pl.String(),
        "source_line": pl.Int64(),
    },
    key=("source_file", "source_line"),
    sort=("source_line",),
    nullable=("updated_at",),
)
"""`attributes` is a JSON object of the source's other columns, for the text template."""

LISTED_USERS = Dataset(
    "users",
    {
        "user_id": USER_ID,
        "ingested_at": UTC_MICROSECONDS,
        "source_file": pl.String(),
        "source_line": pl.Int64(),
    },
    key=("source_file", "source_line"),
    sort=("source_line",),
)
"""Users named by the optional users table, who are owed a list whatever they did."""

REJECTS = Dataset(
    "rejects",
    {
        "table": pl.String(),
        "source_file": pl.String(),
        "source_line": pl.Int64(),
        "reason": pl.String(),
        "raw": pl.String(),
        "ingested_at": UTC_MICROSECONDS,
    },
    key=(),
    sort=("source_line",),
)

HISTORIES = Dataset(
    "histories",
    {
        "user_id": USER_ID,
        "item_id": ITEM_ID,
        "event": pl.String(),
        "occurred_at": UTC_MICROSECONDS,
        "rating": pl.Float32(),
        "weight": pl.Float32(),
    },
    key=(),
    sort=("user_id", "occurred_at"),
    nullable=("rating",),
)
"""Cleaned interactions before the cut, one file a shard of users."""

USERS = Dataset("owed_users", {"user_id": USER_ID}, key=("user_id",), sort=("user_id",))
"""Everyone owed a list: with an interaction before the cut, cleaned away or not, or in the users
table. One file a shard, beside HISTORIES."""

CATALOGUE = Dataset(
    "catalogue",
    {
        "item_id": ITEM_ID,
        "title": pl.String(),
        "category": pl.String(),
        "available": pl.Boolean(),
        "text": pl.String(),
        "content_hash": pl.String(),
    },
    key=("item_id",),
    sort=("item_id",),
)
"""Items as known at the cut; `text` is what the encoder reads, '' where there is none."""

EMBEDDINGS = Dataset(
    "embeddings",
    {"content_hash": pl.String(), "embedding": pl.Array(pl.Float32(), 0)},
    key=("content_hash",),
    sort=("content_hash",),
)
"""`embedding` is a unit vector; its width is the encoder's, see `embeddings_schema`."""

RANKINGS = Dataset(
    "rankings",
    {
        "user_id": USER_ID,
        "rank": pl.UInt16(),
        "item_id": ITEM_ID,
        "score": pl.Float32(),
        "source": pl.String(),
        "reason_item_ids": ITEM_IDS,
        "as_of_date": pl.Date(),
        "model_version": pl.String(),
    },
    key=("user_id", "rank"),
    sort=("user_id", "rank"),
)

ALL_DATASETS = (
    INTERACTIONS,
    ITEMS,
    LISTED_USERS,
    REJECTS,
    HISTORIES,
    USERS,
    CATALOGUE,
    EMBEDDINGS,
    RANKINGS,
)


def embeddings_schema(dim: int) -> pl.Schema:
    """EMBEDDINGS for an encoder of `dim` columns."""
    return pl.Schema({"content_hash": pl.String(), "embedding": pl.Array(pl.Float32(), dim)})


@dataclass(frozen=True)
class DatasetRef:
    """One written instance of a dataset or artifact: what crosses from stage to stage.

    `path` is relative to the lake, `files` to `path`; `key` names the inputs it was made from, so
    that equal keys mean equal content.
    """

    name: str
    as_of: date | None
    key: str
    path: str
    files: tuple[str, ...]
    rows: int
    figures: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What the stage wants told: counts, metrics; JSON values only."""
    reused: bool = field(default=False, compare=False)
    """Whether an earlier run had already made it."""

    def file_paths(self, lake: Path) -> list[Path]:
        """Absolute paths of the files, in order."""
        return [lake / self.path / name for name in self.files]
