"""Published rankings judged by a file of interactions that came later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.datasets import IdTypes
from pwrank.encoder.parts import read_embeddings
from pwrank.errors import SourceError
from pwrank.evaluation.figures import Evaluation
from pwrank.evaluation.holdout import evaluate_holdout, has_times
from pwrank.landing.timestamps import parse_timestamps
from pwrank.publication import read_rankings
from pwrank.published_refs import NightRefs
from pwrank.ranker.model_inputs import history_paths
from pwrank.run import cut_of
from pwrank.signatures import verify_publication
from pwrank.store import Store
from pwrank.user_files import UserFile, read_user_file


def judge(
    store: Store,
    config: Config,
    publication: Mapping[str, Any],
    night: NightRefs,
    holdout: Path,
) -> Evaluation:
    """Judge the lists of one publication by the interactions in a file (csv, parquet, jsonl).

    Rows that do not count as interest by `[clean]` are left out, as they are in training, and
    counted as `not_interest`. Raises SourceError if there is nobody to judge.
    """
    verify_publication(store, publication)
    ids = store.id_types() or IdTypes()
    brought = read_user_file(holdout, config, ids)
    pairs = _pairs_of_interest(brought, config, ids)
    (catalogue_path,) = night.catalogue.file_paths(store.lake)
    catalogue = pl.read_parquet(catalogue_path)
    hashes = catalogue["content_hash"].unique()
    vectors = read_embeddings(store, night.embeddings, hashes.to_list())
    as_of = date.fromisoformat(publication["as_of"])
    history = pl.scan_parquet(history_paths(store, night.histories))
    judged = evaluate_holdout(
        read_rankings(store.lake, as_of),
        pairs,
        history=history,
        catalogue=catalogue,
        embeddings=pl.DataFrame({"content_hash": hashes, "embedding": vectors}),
        exclude_seen=config.score.exclude_seen,
        as_of=as_of,
        seed=config.seed,
        time_zone=config.time_zone,
    )
    if not judged.account["users_judged"]:
        raise SourceError(
            f"{holdout}: nobody to judge: every row ({judged.account['seen_before']:,} pairs) "
            f"is of an item that the user had before {as_of}, which [score] exclude_seen keeps "
            "out of lists; bring what came later"
        )
    timed = _has(brought.frame, config.source.columns.timestamp) or not has_times(history)
    account = {
        **judged.account,
        "holdout_rows": brought.frame.height,
        "not_interest": brought.frame.height - pairs.height,
        "before_the_cut": _rows_before(brought.values, cut_of(as_of, config.time_zone), config),
        "without_time": 0 if timed else brought.frame.height,
    }
    return replace(judged, account=account)


def _pairs_of_interest(brought: UserFile, config: Config, ids: IdTypes) -> pl.DataFrame:
    """`user_id, item_id` of the rows that count as interest, null where it is no id of the lake."""
    pairs = pl.DataFrame([brought.user_id, brought.item_id]).filter(_counts(brought.values, config))
    if pairs.is_empty():
        raise SourceError(f"{brought.path}: no row counts as interest by [clean]")
    if pairs.drop_nulls().is_empty():
        raise SourceError(
            f"{brought.path}: no row has a user and an item; in this lake user ids are "
            f"{ids.user.value}, item ids {ids.item.value}"
        )
    return pairs


def _rows_before(frame: pl.DataFrame, cut: datetime, config: Config) -> int:
    """Rows that say that they happened before the cut; 0 where rows have no times."""
    column = config.source.columns.timestamp
    if not _has(frame, column):
        return 0
    try:
        return int((parse_timestamps(frame[column], config.source) < cut).sum())
    except TypeError:  # a column of something else
        return 0


def _counts(frame: pl.DataFrame, config: Config) -> pl.Series:
    """Whether each row counts as interest by the rules of `[clean]`."""
    columns, clean = config.source.columns, config.clean
    positive = pl.lit(value=True)
    if clean.positive_events and _has(frame, columns.event):
        positive = positive & pl.col(columns.event).is_in(clean.positive_events)
    if clean.positive_rating is not None and _has(frame, columns.rating):
        rating = pl.col(columns.rating).cast(pl.Float64, strict=False)
        positive = positive & (rating >= clean.positive_rating).fill_null(value=True)
    everything = pl.Series("counts", [True], dtype=pl.Boolean).new_from_index(0, frame.height)
    return frame.select(positive.alias("counts") & everything)["counts"]


def _has(frame: pl.DataFrame, column: str) -> bool:
    """Whether a configured column is there; "" is configured for none, whatever it is named."""
    return bool(column) and column in frame.columns
