"""List metrics: how good, how wide and how stable rankings are. Pure and vectorised.

Relevance is binary. A ranking is a long frame `user_id, rank, item_id`; ties were broken by whoever
gave the ranks, and nothing here looks at scores. A user without a list, or a relevant item that
retrieval missed, counts as a miss. Point-wise metrics (calibration, AUC, RMSE) are in
`pointwise_metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
"""Figures; the shape stands with each use."""

Ints = npt.NDArray[np.int64]
"""Counts and dense codes."""

CUTOFFS = (10, 20, 100)
METRICS = ("ndcg", "recall", "hit_rate", "mrr", "precision", "map")
RESAMPLES = 1_000
CONFIDENCE = 0.95
RBO_PERSISTENCE = 0.9
"""Webber et al.: with p = 0.9 the first ten ranks carry 86 % of the weight."""

_CELLS_PER_DRAW = 2_000_000
"""Resampled users held at once: 16 MB of indices, 16 MB of counts."""


def find_hits(rankings: pl.DataFrame | pl.LazyFrame, relevant: pl.DataFrame) -> pl.DataFrame:
    """Rows of the rankings that are relevant: `user_id, item_id, rank`; at most the relevant pairs.

    Only these are kept in memory, so `rankings` may be a scan larger than it. An item that stands
    twice in a list counts once, at its better rank.
    """
    pairs = relevant.select("user_id", "item_id").unique().lazy()
    return (
        rankings.lazy()
        .select("user_id", "item_id", pl.col("rank").cast(pl.Int64))
        .join(pairs, on=["user_id", "item_id"], how="inner")
        .group_by("user_id", "item_id")
        .agg(pl.col("rank").min())
        .sort("user_id", "rank", "item_id")
        .collect(engine="streaming")
    )


def user_metrics(
    hits: pl.DataFrame, relevant: pl.DataFrame, cutoffs: Sequence[int] = CUTOFFS
) -> pl.DataFrame:
    """One row per user of `relevant`, by user_id: `user_id, relevant` and a column per metric@k.

    With R relevant items, hits at ranks r_1 < r_2 < … <= k:
    ndcg       sum 1/log2(r+1) over the same sum for the first min(k, R) ranks
               (Järvelin and Kekäläinen 2002; binary gains)
    recall     hits / R: all relevant items, not min(k, R), so it can stay below 1 when R > k
    hit_rate   1 if there is a hit
    mrr        1/r_1, 0 without a hit (Voorhees 1999)
    precision  hits / k, also for lists shorter than k
    map        sum of (j / r_j) / min(k, R) (average precision, truncated)
    """
    users = relevant.group_by("user_id").agg(pl.len().cast(pl.Int64).alias("relevant"))
    users = users.sort("user_id").with_row_index("code")
    found = hits.join(users, on="user_id").sort("code", "rank")
    code = found["code"].to_numpy().astype(np.int64)
    rank = found["rank"].to_numpy().astype(np.int64)
    num_relevant = users["relevant"].to_numpy().astype(np.int64)
    columns: dict[str, Floats] = {}
    for k in cutoffs:
        inside = rank <= k
        columns |= _metrics_at(k, code[inside], rank[inside], num_relevant)
    ordered = [f"{name}@{k}" for name in METRICS for k in cutoffs]
    return users.select("user_id", "relevant").with_columns(
        pl.Series(name, columns[name]) for name in ordered
    )


def _metrics_at(k: int, code: Ints, rank: Ints, relevant: Ints) -> dict[str, Floats]:
    """code, rank: (hits,) sorted by user, then rank, all ranks <= k; relevant: (users,)."""
    users = len(relevant)

    def per_user(values: Floats) -> Floats:
        return np.bincount(code, weights=values, minlength=users).astype(np.float64)

    hits = np.bincount(code, minlength=users)
    first_row = np.cumsum(hits) - hits
    nth = np.arange(len(code)) - first_row[code] + 1
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))
    reachable = np.minimum(relevant, k)
    return {
        f"ndcg@{k}": per_user(1.0 / np.log2(rank + 1.0)) / ideal[reachable - 1],
        f"recall@{k}": hits / relevant,
        f"hit_rate@{k}": (hits > 0).astype(np.float64),
        f"mrr@{k}": per_user(np.where(nth == 1, 1.0 / rank, 0.0)),
        f"precision@{k}": hits / k,
        f"map@{k}": per_user(nth / rank) / reachable,
    }


def ranking_metrics(
    rankings: pl.DataFrame | pl.LazyFrame,
    relevant: pl.DataFrame,
    cutoffs: Sequence[int] = CUTOFFS,
) -> pl.DataFrame:
    """`user_metrics` of rankings against the relevant pairs `user_id, item_id`."""
    pairs = relevant.select("user_id", "item_id").unique()
    return user_metrics(find_hits(rankings, pairs), pairs, cutoffs)


# --- how sure ---------------------------------------------------------------------------------


def bootstrap_means(values: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Means of users drawn with replacement (Efron 1979). values: (users, m) -> (resamples, m).

    All columns share each draw, so the difference of two columns is a paired difference.
    """
    users = len(values)
    if users == 0:
        return np.full((resamples, values.shape[1]), np.nan)
    draws_at_once = max(1, _CELLS_PER_DRAW // users)
    parts = []
    for start in range(0, resamples, draws_at_once):
        draws = min(draws_at_once, resamples - start)
        drawn = rng.integers(0, users, size=(draws, users))
        drawn += np.arange(draws)[:, None] * users
        counts = np.bincount(drawn.ravel(), minlength=draws * users).reshape(draws, users)
        parts.append(counts.astype(np.float64) @ values / users)
    return np.concatenate(parts)


def interval(samples: Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Percentile interval of each column. samples: (resamples, m) -> low (m,), high (m,)."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail], axis=0)
    return low, high


# --- beyond accuracy --------------------------------------------------------------------------


def exposure(rankings: pl.DataFrame | pl.LazyFrame, k: int) -> pl.DataFrame:
    """How often each item stands in the first k ranks: `item_id, shown`, by item_id."""
    counted = rankings.lazy().filter(pl.col("rank") <= k).group_by("item_id")
    return (
        counted.agg(pl.len().cast(pl.Int64).alias("shown"))
        .sort("item_id")
        .collect(engine="streaming")
    )


def coverage(shown: Ints) -> float:
    """Share of catalogue items shown at all. shown: (items,), zeros included."""
    return float(np.mean(shown > 0)) if len(shown) else float("nan")


def gini(shown: Ints) -> float:
    """Gini coefficient of exposure over the whole catalogue: 0 all equal, towards 1 one item.

    shown: (items,), zeros included.
    """
    total, items = int(shown.sum()), len(shown)
    if total == 0:
        return float("nan")
    weighted = float(np.sort(shown) @ np.arange(1, items + 1))
    return 2.0 * weighted / (items * total) - (items + 1) / items


def novelty(shown: Ints, interactions: Ints) -> float:
    """Mean self-information of what is shown, in bits (Zhou et al. 2010).

    -log2 p(item), p = (interactions + 1) / (all + items): one added each, so that an item nobody
    has touched is finite. Both arguments (items,).
    """
    if shown.sum() == 0:
        return float("nan")
    share = (interactions + 1.0) / (interactions.sum() + len(interactions))
    return float(shown @ -np.log2(share) / shown.sum())


def intra_list_diversity(users: Ints, vectors: npt.NDArray[np.float32]) -> Floats:
    """1 - mean cosine over the pairs of each list (Smyth and McClave 2001).

    users: (m,) dense codes, ascending; vectors: (m, dim) unit vectors of the listed items.
    Returns (users,), NaN for a list of fewer than two.
    """
    if len(users) == 0:
        return np.zeros(0)
    size = np.bincount(users).astype(np.float64)
    present, starts = np.unique(users, return_index=True)
    total = np.zeros((len(size), vectors.shape[1]))
    total[present] = np.add.reduceat(vectors, starts, axis=0, dtype=np.float64)
    pairs = np.where(size > 1, size * (size - 1.0), np.nan)
    diversity: Floats = 1.0 - (np.einsum("ud,ud->u", total, total) - size) / pairs
    return diversity


def list_overlap(first: pl.DataFrame, second: pl.DataFrame, *, k: int) -> pl.DataFrame:
    """`user_id, rbo, jaccard, churn` of the first k ranks, of users with both lists, by user_id.

    rbo: extrapolated rank-biased overlap (Webber, Moffat and Zobel 2010, eq. 30), p = 0.9, at the
    depth of the shorter list. jaccard: common items / items of either. churn: share of the
    longer list that the other lacks.
    """
    cut = [frame.filter(pl.col("rank") <= k) for frame in (first, second)]
    sizes = [frame.group_by("user_id").agg(pl.len().alias("n")) for frame in cut]
    users = sizes[0].join(sizes[1], on="user_id", suffix="_other").sort("user_id")
    users = users.with_row_index("code")
    common = cut[0].join(cut[1], on=["user_id", "item_id"], suffix="_other")
    common = common.select(
        "user_id", depth=pl.max_horizontal("rank", "rank_other").cast(pl.Int64)
    ).join(users, on="user_id")
    code = common["code"].to_numpy().astype(np.int64)
    depth = common["depth"].to_numpy()
    n, other = (users[name].to_numpy().astype(np.int64) for name in ("n", "n_other"))
    shorter = np.minimum(n, other)
    both = np.bincount(code, minlength=len(users))
    return users.select("user_id").with_columns(
        pl.Series("rbo", _rbo(code, depth, shorter)),
        pl.Series("jaccard", both / np.maximum(n + other - both, 1)),
        pl.Series("churn", 1.0 - both / np.maximum(np.maximum(n, other), 1)),
    )


def _rbo(code: Ints, depth: Ints, shorter: Ints) -> Floats:
    """Sum over users: an item common at depth m is in the overlap of every depth from m on."""
    p = RBO_PERSISTENCE
    longest = int(shorter.max(initial=0))
    steps = np.arange(1, longest + 1)
    running = np.concatenate([[0.0], np.cumsum(p**steps / steps)])
    inside = depth <= shorter[code]
    code, depth = code[inside], depth[inside]
    weight = running[shorter[code]] - running[depth - 1]
    summed = np.bincount(code, weights=weight, minlength=len(shorter))
    agreed = np.bincount(code, minlength=len(shorter))
    overlap: Floats = agreed / np.maximum(shorter, 1) * p**shorter + (1.0 - p) / p * summed
    return overlap
