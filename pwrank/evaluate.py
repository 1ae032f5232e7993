"""Evaluate: what tonight's lists look like, and how the published ones did.

Reads the staged rankings, the histories, the catalogue, the model's figures and the rankings
published earlier; writes `metrics.json`. Figures only: the gates that act on them are in publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.datasets import DatasetRef
from pwrank.encoder.parts import read_embeddings
from pwrank.evaluation.category_cap import cap_figures
from pwrank.evaluation.figures import PUBLISHED
from pwrank.evaluation.holdout import evaluate_holdout, positive_interactions
from pwrank.evaluation.staged_figures import overlap_figures, staged_figures
from pwrank.horizon import SEEN_UNTIL, horizon_of
from pwrank.publication import last_publication, read_publication, read_rankings
from pwrank.ranker.model_inputs import history_paths
from pwrank.run import cut_of
from pwrank.signatures import verify_publication
from pwrank.store import Store, fingerprint, write_json

__all__ = ["METRICS_FILE", "evaluate", "evaluate_holdout"]

CODE_VERSION = 3
"""Raised when the figures change for the same inputs."""

METRICS_FILE = "metrics.json"


def evaluate(
    store: Store,
    config: Config,
    *,
    staged: DatasetRef,
    histories: DatasetRef,
    catalogue: DatasetRef,
    model: DatasetRef,
    as_of: date,
    embeddings: DatasetRef | None = None,
) -> DatasetRef:
    """Write `metrics.json` about tonight's staged lists and the lists published before.

    Its parts: `staged`, `overlap` with the last rankings published before `as_of`, `published`:
    those rankings judged by the interactions since, `model`: its figures from training. `overlap`
    and `published` are null on the first night, `staged.category_cap` without a cap. With
    embeddings it also tells their diversity.
    """
    before = last_publication(store, as_of)
    last = date.fromisoformat(before["as_of"]) if before else None
    inputs = (staged, histories, catalogue, model, *([embeddings] if embeddings else []))
    key = _key(config, inputs, before)
    if found := store.reuse("reports", as_of, key):
        return found
    if before:
        verify_publication(store, before)
    items = pl.read_parquet(catalogue.file_paths(store.lake))
    log = _interactions(store, histories)
    about = _about_staged(store, config, staged, items, log)
    content: dict[str, Any] = {
        "as_of": as_of.isoformat(),
        "model": {"key": model.key, "trained_as_of": str(model.as_of), **model.figures},
        "staged": about,
        "overlap": _overlap(store, staged, last, about["users"]) if last else None,
        "published": _judge_published(
            store, config, log, items, (last, as_of), embeddings=embeddings
        )
        if last
        else None,
    }
    write_json(store.folder("reports", as_of, key) / METRICS_FILE, content)
    cut = cut_of(as_of, config.time_zone)
    told = {**_headline(content), SEEN_UNTIL: horizon_of(cut, *inputs)}
    return store.commit("reports", as_of, key, files=[METRICS_FILE], rows=0, figures=told)


def _about_staged(
    store: Store, config: Config, staged: DatasetRef, items: pl.DataFrame, log: pl.LazyFrame
) -> dict[str, Any]:
    counts = log.group_by("item_id").agg(pl.len()).collect(engine="streaming")
    parts = staged.file_paths(store.lake)
    figures = staged_figures(parts, staged.rows, items, counts)
    return figures | {"category_cap": cap_figures(parts, items, config.rerank)}


def _overlap(store: Store, staged: DatasetRef, last: date, users: int) -> dict[str, Any]:
    published = read_rankings(store.lake, last)
    figures = overlap_figures(staged.file_paths(store.lake), published, users)
    return {"with": last.isoformat(), **figures}


def _judge_published(
    store: Store,
    config: Config,
    log: pl.LazyFrame,
    items: pl.DataFrame,
    dates: tuple[date, date],
    *,
    embeddings: DatasetRef | None,
) -> dict[str, Any] | None:
    """Judge the lists of dates[0] by what came until dates[1]; None if nothing did."""
    published, as_of = dates
    cuts = [pl.lit(cut_of(day, config.time_zone)) for day in (published, as_of)]
    when = pl.col("occurred_at")
    window = positive_interactions(log.filter((when >= cuts[0]) & (when < cuts[1])), config.clean)
    holdout = window.select("user_id", "item_id").collect(engine="streaming")
    if holdout.is_empty():
        return None
    # The catalogue as that night knew it; tonight's would hide from popularity what sold out since.
    told = read_publication(store, published)["inputs"]["catalogue"]
    known = store.reuse("catalogue", date.fromisoformat(told["as_of"]), told["key"])
    then = pl.read_parquet(known.file_paths(store.lake)) if known else items
    evaluation = evaluate_holdout(
        read_rankings(store.lake, published),
        holdout,
        history=log.filter(when < cuts[0]),
        catalogue=then,
        embeddings=_vectors(store, embeddings, then) if embeddings else None,
        exclude_seen=config.score.exclude_seen,
        as_of=published,
        seed=config.seed,
        time_zone=config.time_zone,
    )
    return {"until": as_of.isoformat(), **evaluation.to_json()}


def _vectors(store: Store, embeddings: DatasetRef, items: pl.DataFrame) -> pl.DataFrame:
    """Vectors of a catalogue: `content_hash, embedding`; memory of items x dim."""
    hashes = items["content_hash"].unique().sort()
    matrix = read_embeddings(store, embeddings, hashes.to_list())
    return pl.DataFrame([hashes, pl.Series("embedding", matrix)])


def _interactions(store: Store, histories: DatasetRef) -> pl.LazyFrame:
    """Scan of the interaction parts; the folder also holds the users of each shard."""
    return pl.scan_parquet(history_paths(store, histories))


def _key(config: Config, inputs: tuple[DatasetRef, ...], before: Mapping[str, Any] | None) -> str:
    version = [before["as_of"], before["version"]] if before else None
    rules = [config.clean.positive_events, config.clean.positive_rating, config.score.exclude_seen]
    keys = [ref.key for ref in inputs]
    return fingerprint(
        "evaluate", CODE_VERSION, keys, version, rules, config.seed, config.time_zone
    )


def _headline(content: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what the run's table shows."""
    staged, overlap, published = content["staged"], content["overlap"], content["published"]
    figures = {name: staged[name] for name in ("users", "rows", "coverage@10", "gini@10")}
    if staged["category_cap"]:
        figures["lists_over_cap"] = staged["category_cap"]["lists_over"]
    if overlap:
        figures["rbo@10"] = overlap["rbo@10"]
    if published:
        everybody = published["slices"]["all"]
        figures["judged_as_of"] = published["as_of"]
        figures["judged_users"] = everybody["users"]
        for ranker in (PUBLISHED, published["strongest_baseline"]):
            for metric in ("ndcg@10", "recall@20"):
                figures[f"{metric} {ranker}"] = everybody["rankers"][ranker][metric]["value"]
    return figures
