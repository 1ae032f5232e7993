"""What a lake holds about two published dates, as the comparison wants it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from pwrank.comparison.published import compare, users_of
from pwrank.datasets import DatasetRef
from pwrank.evaluation.list_figures import evenly_spaced
from pwrank.publication import read_rankings
from pwrank.ranker.model_inputs import history_paths
from pwrank.signatures import verify_publication
from pwrank.store import Store


def compare_dates(
    store: Store, publications: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> dict[str, Any]:
    """How much the lists of two publications differ, as JSON values.

    Raises LakeError if a list is not the one that was published.
    """
    for told in publications:
        verify_publication(store, told)
    before, after = (read_rankings(store.lake, told["as_of"]) for told in publications)
    histories = _input(store, publications[1], "histories")
    catalogue = _input(store, publications[1], "catalogue")
    changed = compare(
        before,
        after,
        lengths=_lengths(store, histories) if histories else None,
        titles=pl.read_parquet(catalogue.file_paths(store.lake)) if catalogue else None,
    )
    return {"before": publications[0]["as_of"], "after": publications[1]["as_of"], **changed}


def sample_of(store: Store, dates: tuple[date, date], most: int) -> pl.Series:
    """Users with a list on both dates, evenly spaced by id."""
    users = [users_of(read_rankings(store.lake, day)) for day in dates]
    return evenly_spaced(users[0].filter(users[0].is_in(users[1].implode())), most)


def _input(store: Store, publication: Mapping[str, Any], role: str) -> DatasetRef | None:
    known = publication["inputs"][role]
    return store.reuse(known["name"], date.fromisoformat(known["as_of"]), known["key"])


def _lengths(store: Store, histories: DatasetRef) -> pl.DataFrame:
    scan = pl.scan_parquet(history_paths(store, histories))
    return scan.group_by("user_id").agg(pl.len().alias("interactions")).collect(engine="streaming")
