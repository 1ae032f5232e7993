"""Taking one person out of the datasets of a lake, and signing anew what changed.

Every step leaves whole files and can be done again: what holds nothing of the person is skipped,
and counts are read off the files rather than carried.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.datasets import REJECTS, DatasetRef, IdTypes, as_told
from pwrank.forgetting.journal import Journal
from pwrank.forgetting.person import Person
from pwrank.forgetting.search import lake_files, same_type
from pwrank.landing.drops import Drop, read_drops, write_drop
from pwrank.landing.parsing import PARSERS
from pwrank.landing.suppression import FORGOTTEN, set_aside, without_text
from pwrank.ranker.model_card import DUE
from pwrank.ranker.model_inputs import history_paths, users_path
from pwrank.run import cut_of
from pwrank.sources import Table
from pwrank.store import Store, read_json, write_dataset, write_json, write_parquet

TABLES_WITH_USERS: tuple[Table, ...] = ("interactions", "users")


def mark_models(store: Store, person: Person, time_zone: str) -> list[str]:
    """Mark every model that may have been trained with the person; returns their versions.

    That is each whose date begins after the person's first row.
    """
    paths = [store.lake / name for drop in read_drops(store, "interactions") for name in drop.files]
    first = None
    for path in paths:
        theirs = pl.scan_parquet(path).filter(person.rows(pl.col("user_id")))
        when = theirs.select(pl.col("occurred_at").min()).collect().item()
        first = min(filter(None, (first, when)), default=None)
    marked = []
    for ref in store.refs("models"):
        if first and ref.as_of and cut_of(ref.as_of, time_zone) > first:
            _commit(store, ref, figures={**ref.figures, DUE: FORGOTTEN})
            marked.append(str(ref.figures["model_version"]))
    return marked


def clear_drops(store: Store, person: Person, journal: Journal) -> None:
    """Set the person's landed rows aside as rejects without id or text; empty rejects' text.

    A broken line of the catalogue may name them too.
    """
    (digest,) = person.suppression.hashes
    for table in PARSERS:
        for drop in read_drops(store, table):
            parts = drop.files if table in TABLES_WITH_USERS else ()
            counts = [_clear_part(store, drop, name, person) for name in parts]
            emptied = sum(_empty_rejects(store, name, person) for name in drop.reject_files)
            journal.count(table, sum(counts))
            journal.count("rejects", emptied)
            again = _recounted(store, drop, digest)
            if again != drop:
                write_drop(store, again)


def _clear_part(store: Store, drop: Drop, name: str, person: Person) -> int:
    """Move the person's rows of one part to the rejects of the same number."""
    path = store.lake / name
    rows = pl.read_parquet(path)
    theirs = rows.filter(person.rows(pl.col("user_id")))
    if theirs.is_empty():
        return 0
    dataset, _ = PARSERS[drop.table]
    aside = set_aside(theirs, drop.table)
    rejects = store.lake / "rejects" / drop.table / drop.id / path.name
    if rejects.exists():
        # A killed forgetting may have set them aside already and not yet taken them out.
        before = pl.read_parquet(rejects)
        aside = pl.concat([before, aside]).unique(["source_line", "reason"], maintain_order=True)
    write_dataset(store, REJECTS, aside.sort("source_line"), rejects, IdTypes())
    left = rows.filter(~person.rows(pl.col("user_id")))
    write_dataset(store, dataset, left, path, store.id_types() or IdTypes())
    return theirs.height


def _empty_rejects(store: Store, name: str, person: Person) -> int:
    path = store.lake / name
    rejects = pl.read_parquet(path)
    named = [person.is_in_raw(raw) for raw in rejects["raw"]]
    if any(named):
        write_dataset(store, REJECTS, without_text(rejects, named), path, IdTypes())
    return sum(named)


def _recounted(store: Store, drop: Drop, digest: str) -> Drop:
    """The drop as its files are now."""
    folder = store.lake / "rejects" / drop.table / drop.id
    rejects = sorted(folder.glob("*.parquet"))
    reasons = Counter[str]()
    for path in rejects:
        reasons.update(dict(pl.read_parquet(path)["reason"].value_counts().iter_rows()))
    landed = drop.rows_in - reasons.total()
    gone = {digest} if landed != drop.rows_landed else set()
    return dataclasses.replace(
        drop,
        rows_landed=landed,
        rejected=dict(reasons),
        reject_files=tuple(str(path.relative_to(store.lake)) for path in rejects),
        forgotten=tuple(sorted({*drop.forgotten, *gone})),
    )


def clear_tables(
    store: Store, person: Person, journal: Journal, *, but: Sequence[DatasetRef]
) -> None:
    """Take the person's rows out of every table with a column `user_id` that is left.

    but: lists that were replaced, whose old files readers may still have open.
    """
    apart = {store.lake / name for name in (*TABLES_WITH_USERS, *(ref.path for ref in but))}
    for path in lake_files(store.lake):
        if path.suffix == ".parquet" and not apart & set(path.parents):
            rows, left = _without(path, person)
            if rows:
                write_parquet(left, path)
                journal.count(path.relative_to(store.lake).parts[0], rows)
    for ref in store.refs("histories"):
        _sign_histories(store, ref)


def _without(path: Path, person: Person) -> tuple[int, pl.DataFrame]:
    """How many rows of a table are the person's, and the table without them."""
    scan = pl.scan_parquet(path)
    dtype = scan.collect_schema().get("user_id")
    theirs = person.rows(pl.col("user_id"))
    if dtype is None or not same_type(dtype, person):
        return 0, pl.DataFrame()
    rows = scan.filter(theirs).select(pl.len()).collect().item()
    return rows, pl.read_parquet(path).filter(~theirs) if rows else pl.DataFrame()


def _sign_histories(store: Store, ref: DatasetRef) -> None:
    """The manifest says what is in the files now; the account still adds up."""
    parts = history_paths(store, ref)
    owed = [users_path(path) for path in parts]
    rows, latest = pl.scan_parquet(parts).select(pl.len(), pl.max("occurred_at")).collect().row(0)
    users = pl.scan_parquet(owed).select(pl.len()).collect().item()
    if (rows, users) == (ref.rows, ref.figures["users"]):
        return
    aside = {reason: n for reason, n in ref.figures["set_aside"].items() if reason != FORGOTTEN}
    aside[FORGOTTEN] = ref.figures["rows_in"] - rows - sum(aside.values())
    told = {"users": users, "set_aside": {reason: n for reason, n in aside.items() if n}}
    if latest:
        moment = as_told(latest)
        told["latest_occurred_at"] = moment.isoformat() if moment else None
    _commit(store, ref, rows=rows, figures={**ref.figures, **told})


def clear_samples(store: Store, person: Person, journal: Journal) -> None:
    """Samples in JSON files (gates, stage records, figures) that show the person."""
    for path in lake_files(store.lake):
        if path.suffix == ".json":
            content = read_json(path)
            if person.in_samples(content):
                write_json(path, person.without(content))
                journal.count("samples", 1)


def _commit(
    store: Store, ref: DatasetRef, *, figures: dict[str, Any], rows: int | None = None
) -> None:
    """Write the manifest of an instance again."""
    rows = ref.rows if rows is None else rows
    store.commit(ref.name, ref.as_of, ref.key, files=ref.files, rows=rows, figures=figures)
