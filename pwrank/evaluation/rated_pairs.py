"""The heads `like` and `rating` judged by ratings that training did not see, next to two baselines.

The baselines, of `rating_baselines`, learn from what the night knew, and judge users as the night
does. Their probability of a like comes from the judged pairs of other users, which still favours
them a little: the heads have not seen the period at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pwrank.config import Config
from pwrank.datasets import IdTypes
from pwrank.errors import SourceError
from pwrank.evaluation.baselines import codes_of
from pwrank.evaluation.figures import finite
from pwrank.evaluation.metrics import Floats, bootstrap_means, interval
from pwrank.evaluation.pointwise_metrics import (
    auc,
    auc_shares,
    calibration_error,
    calibration_noise,
    reliability,
    user_auc,
)
from pwrank.evaluation.rating_baselines import chance_of_a_like, fit_baselines
from pwrank.landing.parsing import without_unrated
from pwrank.lists.pairs import NO_RATINGS, score_pairs
from pwrank.published_refs import NightRefs
from pwrank.ranker.examples import window_start
from pwrank.ranker.model import Ranker
from pwrank.ranker.model_inputs import (
    Reading,
    history_paths,
    read_catalogue,
    read_histories,
)
from pwrank.ranker.preference_training import preference_task
from pwrank.ranker.weights import read_ranker
from pwrank.store import Progress, Store
from pwrank.user_files import read_user_file

FLOOR = 1e-4
"""Probabilities are kept so far from 0 and 1 in the log loss."""

METRICS = ("rmse", "mae", "auc", "user_auc", "log_loss", "calibration_error")


def judge_ratings(
    store: Store,
    config: Config,
    night: NightRefs,
    path: Path,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Figures with bootstrap intervals over users, by ranker. See the module.

    Pairs that the night's log had rated are left out: it knew them. Raises SourceError
    where that or a lack of ratings leaves nothing, or where the night's log had none.
    """
    ranker = read_ranker(store.lake, night.model)
    if ranker.preference is None:
        raise SourceError(f"{path}: {NO_RATINGS}")
    pairs = _with_heads(store, config, night, path, progress=progress)
    kept = pairs.drop_nulls(["rating", "pwrank"])
    if kept.is_empty():
        raise SourceError(
            f"{path}: no row has a user, an item and a rating; name them under [source.columns]"
        )
    usable = kept.height
    kept = kept.join(_rated_before(store, night), on=["user_id", "item_id"], how="anti")
    if kept.is_empty():
        raise SourceError(
            f"{path}: each of its {usable:,} rated pairs was rated before {night.histories.as_of} "
            "too, so that the night knew it; bring pairs that the lake does not have"
        )
    predicted = {
        "pwrank": kept["pwrank"].to_numpy(),
        **_baselines(store, config, night, ranker, kept),
    }
    threshold = float(ranker.preference.scale[2])
    ratings = kept["rating"].to_numpy()
    liked = (ratings >= threshold).astype(np.float64)
    user = kept["user_id"].rank("dense").to_numpy().astype(np.int64)
    likes = {
        name: kept["like"].to_numpy()
        if name == "pwrank"
        else chance_of_a_like(values, liked, user, config.seed)
        for name, values in predicted.items()
    }
    orders = predicted | {"pwrank": likes["pwrank"]}
    rankers = {
        name: _figures(kept, liked, (predicted[name], orders[name], likes[name]), config.seed)
        for name in predicted
    }
    return {
        "pairs": kept.height,
        "skipped": pairs.height - usable,
        "rated_before": usable - kept.height,
        "users": kept["user_id"].n_unique(),
        # As people say it: the least that is liked, not what lies between two whole stars.
        "like_threshold": float(ratings[liked > 0].min() if liked.any() else threshold),
        "liked_share": float(liked.mean()),
        "calibration_noise": finite(calibration_noise(reliability(liked, likes["pwrank"]))),
        "rankers": rankers,
    }


def _rated_before(store: Store, night: NightRefs) -> pl.DataFrame:
    """user_id, item_id of what the night's log had rated."""
    rows = pl.scan_parquet(history_paths(store, night.histories))
    rated = rows.filter(pl.col("rating").is_not_nan())
    return rated.select("user_id", "item_id").unique().collect()


def _with_heads(
    store: Store, config: Config, night: NightRefs, path: Path, *, progress: Progress | None
) -> pl.DataFrame:
    """user_id, item_id, rating as it was given, and the heads: like, pwrank."""
    brought = read_user_file(path, config, store.id_types() or IdTypes())
    name = config.source.columns.rating
    if not name:
        raise SourceError(
            f'{path}: rating = "" under [source.columns] says that there are no ratings; '
            "name their column to judge by it"
        )
    if name not in brought.frame.columns:
        columns = ", ".join(brought.frame.columns)
        raise SourceError(f"{path}: no column {name!r} to judge by (columns: {columns})")
    ratings = brought.values[name]
    if not (ratings.dtype.is_numeric() or ratings.dtype == pl.String):
        raise SourceError(f"{path}: column {name!r} holds {ratings.dtype}; ratings are numbers")
    ratings = ratings.cast(pl.Float64, strict=False).fill_nan(None).alias("rating")
    told = score_pairs(store, night, brought, heads=True, progress=progress)
    return pl.DataFrame([brought.user_id, brought.item_id]).with_columns(
        without_unrated(ratings, config.source),
        told["like"].cast(pl.Float64),
        told["rating"].cast(pl.Float64).alias("pwrank"),
    )


def ratings_table(figures: Mapping[str, Any]) -> str:
    """The same for people."""
    about = (
        f"{figures['pairs']:,} pairs of {figures['users']:,} users, "
        f"{figures['skipped']:,} rows without id or rating and {figures['rated_before']:,} that "
        "the night knew left out; "
        f"liked = rated {figures['like_threshold']:g} or more ({figures['liked_share']:.0%}); "
        f"calibration error of perfect probabilities {figures['calibration_noise']:.3f}"
    )
    lines = [about, f"{'':<14}" + "".join(f"{name:>22}" for name in METRICS)]
    for name, told in figures["rankers"].items():
        cells = [_cell(told[metric]) for metric in METRICS]
        lines.append(f"{name:<14}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def _cell(figure: Mapping[str, float | None]) -> str:
    value, low, high = (figure[part] for part in ("value", "low", "high"))
    if value is None:
        return "-"
    text = f"{value:.4f}"
    return text if low is None or high is None else f"{text} [{low:.3f}, {high:.3f}]"


def _baselines(
    store: Store, config: Config, night: NightRefs, ranker: Ranker, pairs: pl.DataFrame
) -> dict[str, Floats]:
    """Ratings by each baseline, (m,), learned from the histories of the night."""
    catalogue = read_catalogue(store, night.catalogue, night.embeddings)
    paths = history_paths(store, night.histories)
    known = read_histories(paths, catalogue.item_ids, Reading.of(night.model))
    log = known.histories.keep(known.histories.item >= 0)
    inputs = ranker.item_inputs(catalogue)
    ids = pl.Series(catalogue.item_ids, dtype=pairs["item_id"].dtype)
    user, item = codes_of(pairs["user_id"], known.user_ids), codes_of(pairs["item_id"], ids)
    task = preference_task(log, inputs, len(ranker.categories), config.train, seed=config.seed)
    baselines = fit_baselines(task, window_start(log, config.train.validation_share))
    return {name: baseline.rating(user, item) for name, baseline in baselines.items()}


def _figures(
    pairs: pl.DataFrame, liked: Floats, told: tuple[Floats, Floats, Floats], seed: int
) -> dict[str, dict[str, float | None]]:
    """Each metric with its interval. told: ratings, what orders likes, probability of a like."""
    rating, order, like = told
    gap = pairs["rating"].to_numpy() - rating
    chance = np.clip(like, FLOOR, 1.0 - FLOOR)
    loss = -(liked * np.log(chance) + (1.0 - liked) * np.log1p(-chance))
    frame = pairs.select("user_id").with_columns(
        label=pl.Series(liked),
        score=pl.Series(order),
        square=pl.Series(gap * gap),
        distance=pl.Series(np.abs(gap)),
        loss=pl.Series(loss),
        one=pl.lit(1.0),
    )
    sums = frame.group_by("user_id").agg(pl.col("square", "distance", "loss", "one").sum())
    columns = sums.sort("user_id").drop("user_id").to_numpy()
    drawn = bootstrap_means(columns, np.random.default_rng(seed))
    means = drawn[:, :3] / drawn[:, 3:]
    whole = columns[:, :3].sum(axis=0) / columns[:, 3].sum()
    by_user = user_auc(frame)["auc"].to_numpy()
    areas = bootstrap_means(by_user[:, None], np.random.default_rng(seed))
    shares = auc_shares(frame.select("user_id", "label", "score"))["share"].to_numpy()
    moved = len(shares) * bootstrap_means(shares[:, None], np.random.default_rng(seed))[:, 0]
    area, error = auc(liked, order), calibration_error(reliability(liked, like))
    return {
        "rmse": _figure(float(np.sqrt(whole[0])), np.sqrt(means[:, 0])),
        "mae": _figure(float(whole[1]), means[:, 1]),
        "user_auc": _figure(float(by_user.mean()) if len(by_user) else np.nan, areas[:, 0]),
        "log_loss": _figure(float(whole[2]), means[:, 2]),
        "auc": _figure(area, np.clip(area + moved, 0.0, 1.0)),
        # Of users drawn again it would be larger: what chance adds is `calibration_noise`.
        "calibration_error": {"value": finite(error), "low": None, "high": None},
    }


def _figure(value: float, samples: Floats) -> dict[str, float | None]:
    low, high = interval(samples[:, None])
    return {"value": finite(value), "low": finite(float(low[0])), "high": finite(float(high[0]))}
