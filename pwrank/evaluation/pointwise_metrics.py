"""Point-wise metrics: how true a score is of one (user, item) pair. Pure and vectorised."""

from __future__ import annotations

import numpy as np
import polars as pl

from pwrank.evaluation.metrics import Floats

BINS = 15


def _as_floats(values: object) -> Floats:
    return np.asarray(values, dtype=np.float64).ravel()


def reliability(labels: Floats, probabilities: Floats, bins: int = BINS) -> pl.DataFrame:
    """Equal-mass bins: `bin, rows, predicted, observed`, by rising probability.

    labels: (n,) 0 or 1; probabilities: (n,). Equal probabilities share a bin, so that the order of
    the rows cannot matter; bins that this leaves empty are absent.
    """
    pairs = pl.DataFrame({"y": _as_floats(labels), "p": _as_floats(probabilities)})
    place = (pl.col("p").rank("average") - 0.5) / max(pairs.height, 1) * bins
    return (
        pairs.with_columns(place.floor().cast(pl.Int64).clip(0, bins - 1).alias("bin"))
        .sort("bin", "p", "y")
        .group_by("bin", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("rows"),
            pl.col("p").mean().alias("predicted"),
            pl.col("y").mean().alias("observed"),
        )
    )


def calibration_error(table: pl.DataFrame) -> float:
    """Mean |predicted - observed| of a `reliability` table, weighted by rows; NaN without rows.

    The expected calibration error of Naeini et al. (2015).
    """
    if table.height == 0:
        return float("nan")
    gap = np.abs(_as_floats(table["predicted"]) - _as_floats(table["observed"]))
    return float(np.average(gap, weights=_as_floats(table["rows"])))


def calibration_noise(table: pl.DataFrame) -> float:
    """The `calibration_error` that perfect probabilities would have by chance; NaN without rows.

    Of rows that are independent: those of one user are not, so that chance does more than this.
    """
    if table.height == 0:
        return float("nan")
    chance, rows = _as_floats(table["predicted"]), _as_floats(table["rows"])
    return float(np.average(np.sqrt(2.0 / np.pi * chance * (1.0 - chance) / rows), weights=rows))


def log_loss(labels: Floats, probabilities: Floats, floor: float = 1e-7) -> float:
    """Mean negative log likelihood, in nats; probabilities are kept `floor` away from 0 and 1."""
    y, p = _as_floats(labels), np.clip(_as_floats(probabilities), floor, 1.0 - floor)
    # Sorted, so that the order in which shards are read does not show in the last digit.
    losses = np.sort(y * np.log(p) + (1.0 - y) * np.log1p(-p))
    return float(-np.mean(losses)) if len(y) else float("nan")


def auc(labels: Floats, scores: Floats) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half.

    NaN where one class is absent.
    """
    one_user = pl.DataFrame(
        {"user_id": 0, "label": _as_floats(labels), "score": _as_floats(scores)}
    )
    figures = user_auc(one_user)
    return float(figures["auc"][0]) if figures.height else float("nan")


def auc_shares(pairs: pl.DataFrame) -> pl.DataFrame:
    """`user_id, share`, by user_id: how far each user's pairs move the AUC of all, to first order.

    pairs: `user_id, label, score`. The shares of users drawn again, added to the AUC, are its
    values among such users: the structural components of DeLong et al. (1988), summed over what
    belongs together (Obuchowski 1997). They sum to 0; NaN where one class is absent.
    """
    positive = pl.col("label") > 0
    counts = {"positives": positive.sum(), "negatives": (~positive).sum()}
    below = (pl.col("place") - pl.col("own_place")) / pl.col("others")
    ranked = (
        pairs.select(
            "user_id",
            positive.alias("positive"),
            pl.col("score").rank("average").alias("place"),
            pl.col("score").rank("average").over(positive).alias("own_place"),
            **counts,
        )
        .with_columns(
            own=pl.when("positive").then("positives").otherwise("negatives"),
            others=pl.when("positive").then("negatives").otherwise("positives"),
        )
        .with_columns(won=pl.when("positive").then(below).otherwise(1.0 - below))
    )
    area = pl.col("won").filter("positive").mean()
    share = ((pl.col("won") - area) / pl.col("own")).fill_null(float("nan"))
    return (
        ranked.select("user_id", share=share).group_by("user_id").agg(pl.col("share").sum())
    ).sort("user_id")


def user_auc(pairs: pl.DataFrame) -> pl.DataFrame:
    """`user_id, auc` for users with both classes, by user_id. pairs: `user_id, label, score`.

    Mann-Whitney: (rank sum of the positives - P(P+1)/2) / (P N), equal scores share their rank.
    """
    ranked = pairs.select(
        "user_id",
        pl.col("label").cast(pl.Float64),
        pl.col("score").rank("average").over("user_id").alias("place"),
    )
    positives = pl.col("label").sum()
    negatives = pl.len() - positives
    rank_sum = (pl.col("place") * pl.col("label")).sum()
    area = (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
    return (
        ranked.group_by("user_id")
        .agg(area.alias("auc"), (positives * negatives).alias("both"))
        .filter(pl.col("both") > 0)
        .select("user_id", "auc")
        .sort("user_id")
    )


def rmse(truth: Floats, predicted: Floats) -> float:
    """Root mean squared error; NaN without rows."""
    gap = _as_floats(truth) - _as_floats(predicted)
    return float(np.sqrt(np.mean(gap * gap))) if len(gap) else float("nan")


def mae(truth: Floats, predicted: Floats) -> float:
    """Mean absolute error; NaN without rows."""
    gap = _as_floats(truth) - _as_floats(predicted)
    return float(np.mean(np.abs(gap))) if len(gap) else float("nan")
