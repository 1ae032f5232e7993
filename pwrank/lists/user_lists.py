"""Lists of users as arrays, and as rows of RANKINGS."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pwrank.datasets import RANKINGS, IdTypes
from pwrank.lists.sources_of_ranks import ALL_SOURCES
from pwrank.ranker.history import FloatArray, IntArray


@dataclass(frozen=True)
class UserLists:
    """Lists of u users, at most k long, in the order of the users."""

    item: npt.NDArray[np.int32]
    """(u, k) rows of the catalogue, -1 behind the end of a list."""
    score: FloatArray
    """(u, k)."""
    source: npt.NDArray[np.int8]
    """(u, k) place in ALL_SOURCES."""
    reasons: npt.NDArray[np.int32]
    """(u, k, r) rows of the catalogue, -1 = none."""

    def put(self, users: IntArray, lists: UserLists) -> None:
        """Take over the lists of some users; what else `lists` has, behind them, is empty."""
        for field in fields(self):
            mine, other = getattr(self, field.name), getattr(lists, field.name)
            width = min(mine.shape[1], other.shape[1])
            mine[users, :width] = other[: len(users), :width]


def empty_lists(users: int, k: int, reasons: int) -> UserLists:
    """Nobody's lists yet."""
    return UserLists(
        item=np.full((users, k), -1, np.int32),
        score=np.zeros((users, k), np.float32),
        source=np.zeros((users, k), np.int8),
        reasons=np.full((users, k, reasons), -1, np.int32),
    )


def as_frame(
    lists: UserLists,
    user_ids: pl.Series,
    item_ids: npt.NDArray[np.generic],
    *,
    as_of: date,
    model_version: str,
    ids: IdTypes,
) -> pl.DataFrame:
    """RANKINGS rows; users in the given order, ranks ascending. item_ids: (n,) of the catalogue."""
    listed = lists.item >= 0
    names = pl.Series(item_ids, dtype=ids.item.dtype)
    owner = np.repeat(np.arange(len(listed)), listed.sum(axis=1))
    ranks = np.arange(1, listed.shape[1] + 1, dtype=np.uint16)
    return pl.DataFrame(
        {
            "user_id": user_ids.gather(owner),
            "rank": np.broadcast_to(ranks, listed.shape)[listed],
            "item_id": names.gather(lists.item[listed]),
            "score": lists.score[listed],
            "source": pl.Series(list(ALL_SOURCES)).gather(lists.source[listed]),
            "reason_item_ids": _as_lists(lists.reasons[listed], names),
            "as_of_date": pl.repeat(as_of, len(owner), dtype=pl.Date, eager=True),
            "model_version": pl.repeat(model_version, len(owner), dtype=pl.String, eager=True),
        },
        schema=RANKINGS.schema(ids),
    )


def _as_lists(rows: npt.NDArray[np.int32], names: pl.Series) -> pl.Series:
    """(m, r) catalogue rows -> m lists of item ids, without the -1."""
    present = rows >= 0
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64)
    values = names.gather(rows[present]).to_arrow(compat_level=pl.CompatLevel.newest())  # no copy
    return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(offsets, values)))
