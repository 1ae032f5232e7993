"""What a large model has to beat, behind one interface: popularity, all-time and recent.

All answer `rank(users, k=…)` with a frame `user_id, rank, item_id`, so a report or a quality board
treats them alike; the others are in `item_baselines`, `vector_baselines`, `neumf` and `sasrec`.
Memory is bounded by the batch of users asked for: nothing of users x items is ever held. Equal
scores are ordered by popularity, then by item id, so a tie never knows which item will be the hit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

Places = npt.NDArray[np.int64]
"""(users, k) indices into items, -1 at the end of a list that is shorter."""


class Baseline(Protocol):
    """What every ranker of a quality board answers."""

    def rank(self, users: pl.Series, *, k: int) -> pl.DataFrame:
        """Best k items of each user: `user_id, rank, item_id`, by (user as given, rank).

        Users without history get the popular items; a list is shorter than k only where the
        catalogue has fewer items that may be shown.
        """
        ...


@dataclass(frozen=True)
class UserItems:
    """Who has interacted with what: a sparse matrix, items ordered by popularity."""

    users: pl.Series
    """Users with history, ascending; row `r` of `matrix` is the r-th."""
    items: pl.Series
    """Items that may be shown, the most popular first; column `c` is the c-th."""
    matrix: sparse.csr_matrix
    """(users, items) float32: 1 where there was an interaction."""

    def head(self, most: int) -> UserItems:
        """Only the `most` most popular items."""
        return UserItems(self.users, self.items.head(most), self.matrix[:, :most])

    def rows(self, users: pl.Series) -> sparse.csr_matrix:
        """(len(users), items): the users' rows, empty for users without history."""
        codes = codes_of(users, self.users)
        known = np.flatnonzero(codes >= 0)
        pick = sparse.csr_matrix(
            (np.ones(len(known), np.float32), (known, codes[known])),
            shape=(len(users), len(self.users)),
        )
        taken = sparse.csr_matrix(pick @ self.matrix)
        taken.sort_indices()
        return taken


def popularity_order(
    history: pl.DataFrame | pl.LazyFrame, items: pl.Series, *, since: datetime | None = None
) -> pl.Series:
    """Order the given items by interactions since then, by all interactions, by id.

    history: `item_id, occurred_at`. Items that nobody has touched come last.
    """
    recent = pl.len() if since is None else (pl.col("occurred_at") >= since).sum()
    counts = (
        history.lazy()
        .group_by("item_id")
        .agg(recent.cast(pl.Int64).alias("recent"), pl.len().cast(pl.Int64).alias("all"))
        .collect(engine="streaming")
    )
    candidates = pl.DataFrame({"item_id": items.unique()})
    counted = candidates.join(counts, on="item_id", how="left").fill_null(0)
    return counted.sort("recent", "all", "item_id", descending=[True, True, False])["item_id"]


def user_items(history: pl.DataFrame | pl.LazyFrame, order: pl.Series) -> UserItems:
    """Matrix of the given history over the items of `order`; interactions with others left out.

    history: `user_id, item_id`; filter it to the users needed, since their pairs are kept.
    """
    columns = pl.LazyFrame({"item_id": order}).with_row_index("column")
    pairs = (
        history.lazy()
        .join(columns, on="item_id", how="inner")
        .select("user_id", "column")
        .unique()
        .sort("user_id", "column")
        .collect(engine="streaming")
    )
    users = pairs["user_id"].unique().sort()
    rows = codes_of(pairs["user_id"], users)
    values = np.ones(pairs.height, np.float32)
    matrix = sparse.csr_matrix(
        (values, (rows, pairs["column"].to_numpy())), shape=(len(users), len(order))
    )
    return UserItems(users, order, matrix)


@dataclass(frozen=True)
class Popularity:
    """One global order for everybody, minus what the user has seen."""

    items: pl.Series
    """The most popular first."""
    seen: UserItems | None
    """Over the same items in any order; None: seen items may come back."""

    def rank(self, users: pl.Series, *, k: int) -> pl.DataFrame:
        """See `Baseline.rank`; memory is k per user, plus what they have seen."""
        k = min(k, len(self.items))
        if self.seen is None:
            place = np.tile(np.arange(k), (len(users), 1))
        else:
            place = _unseen_places(self.items, self.seen, users, k)
        return ranking_frame(users, self.items, np.where(place < len(self.items), place, -1))


def _unseen_places(items: pl.Series, seen: UserItems, users: pl.Series, k: int) -> Places:
    """(users, k): places in `items` of the first k that each user has not seen, maybe past the end.

    With seen places s_0 < s_1 < …, the j-th unseen stands at j + |{i: s_i - i <= j}|.
    """
    rows = seen.rows(users)
    user = np.repeat(np.arange(len(users)), np.diff(rows.indptr))
    place = codes_of(seen.items, items)[rows.indices]
    user, place = user[place >= 0], place[place >= 0]
    order = np.lexsort((place, user))
    user, place = user[order], place[order]
    seen_count = np.bincount(user, minlength=len(users))
    first = np.cumsum(seen_count) - seen_count
    unseen_before = place - (np.arange(len(place)) - first[user])
    # One ascending array for all users: each user's numbers are lifted above the one before.
    lift = len(items) + k + 1
    wanted = np.arange(k)[None, :] + np.arange(len(users))[:, None] * lift
    skipped = np.searchsorted(unseen_before + user * lift, wanted.ravel(), side="right")
    places: Places = np.arange(k)[None, :] + skipped.reshape(wanted.shape) - first[:, None]
    return places


def popularity_list(
    history: pl.DataFrame | pl.LazyFrame, items: pl.Series, *, seen: UserItems | None
) -> Popularity:
    """Popularity over all of the history."""
    return Popularity(popularity_order(history, items), seen)


def recent_popularity(
    history: pl.DataFrame | pl.LazyFrame,
    items: pl.Series,
    *,
    cut: datetime,
    days: int,
    seen: UserItems | None,
) -> Popularity:
    """Popularity over the last `days` days before the cut; earlier interactions break ties."""
    return Popularity(popularity_order(history, items, since=cut - timedelta(days=days)), seen)


def ranking_frame(users: pl.Series, items: pl.Series, places: Places) -> pl.DataFrame:
    """Turn places (users, k) into a frame `user_id, rank, item_id`."""
    shown = places >= 0
    row, column = np.nonzero(shown)
    return pl.DataFrame(
        {
            "user_id": users.gather(row),
            "rank": pl.Series(column + 1, dtype=pl.UInt16),
            "item_id": items.gather(places[shown]),
        }
    )


def codes_of(values: pl.Series, index: pl.Series) -> npt.NDArray[np.int64]:
    """Position of each value in `index` (unique), -1 where it is not there."""
    table = pl.DataFrame({"id": index}).with_row_index("code")
    joined = pl.DataFrame({"id": values}).join(table, on="id", how="left", maintain_order="left")
    return joined["code"].cast(pl.Int64).fill_null(-1).to_numpy()
