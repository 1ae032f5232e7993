"""Taking one person out of the lists of every date, while others read them.

Lists are never changed where they lie: the same parts without the person are staged beside them,
the manifest of the date is pointed there in one step, as when a date is published again, and the
old parts go last. Killed anywhere, a reader finds the old lists or the new ones.
"""

from __future__ import annotations

import os
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.forgetting.journal import Journal
from pwrank.forgetting.person import Person
from pwrank.publication import (
    describe_parts,
    follow_current,
    is_visible,
    publication_path,
    published_dates,
    read_publication,
    show_parts,
)
from pwrank.signatures import SIGNED, sign, verify_publication
from pwrank.store import Store, fingerprint, flush_file, write_json, write_parquet


def replace_lists(
    store: Store, person: Person, journal: Journal, now: datetime
) -> list[DatasetRef]:
    """Stage the lists without the person and publish those that were. Returns what they replace.

    Raises LakeError, before anything is changed, for a published list that was exchanged: what
    somebody else put there is not signed anew.
    """
    published = {day: read_publication(store, day) for day in published_dates(store)}
    replaced = []
    for ref in store.refs("staged"):
        theirs = {path.name: _rows(path, person) for path in ref.file_paths(store.lake)}
        if not any(theirs.values()):
            continue
        before = published.get(ref.as_of) if ref.as_of else None
        if before and before["version"] == ref.key:
            verify_publication(store, before)
            _republish(store, before, _stage_without(store, ref, theirs, person), now)
            journal.count("rankings", sum(theirs.values()))
        else:
            _stage_without(store, ref, theirs, person)
        journal.count("staged", sum(theirs.values()))
        replaced.append(ref)
    return replaced


def _rows(path: Path, person: Person) -> int:
    theirs = pl.scan_parquet(path).filter(person.rows(pl.col("user_id")))
    return int(theirs.select(pl.len()).collect().item())


def _stage_without(
    store: Store, ref: DatasetRef, theirs: dict[str, int], person: Person
) -> DatasetRef:
    """The same lists under another key; parts without the person are the same files."""
    (digest,) = person.suppression.hashes
    key = fingerprint("forgotten", ref.key, digest)
    if found := store.reuse(ref.name, ref.as_of, key):
        return found
    folder = store.folder(ref.name, ref.as_of, key)
    for path in ref.file_paths(store.lake):
        target = folder / path.name
        if theirs[path.name]:
            write_parquet(pl.read_parquet(path).filter(~person.rows(pl.col("user_id"))), target)
        elif not target.exists():
            os.link(path, target)
    flush_file(folder)
    lists = pl.scan_parquet([folder / name for name in ref.files])
    by_source = lists.group_by("source").len().sort("source").collect()
    users = lists.select(pl.col("user_id").n_unique()).collect().item()
    rows = int(by_source["len"].sum())
    figures = {"users": users, "rows_by_source": dict(by_source.iter_rows())}
    figures = {**ref.figures, **figures, SIGNED: sign(folder, ref.files)}
    return store.commit(ref.name, ref.as_of, key, files=ref.files, rows=rows, figures=figures)


def _republish(store: Store, before: dict[str, Any], staged: DatasetRef, now: datetime) -> None:
    """Point the manifest of a date, the pointer and the names that globs find at other parts."""
    as_of = date.fromisoformat(before["as_of"])
    told = {
        **before,
        **describe_parts(store, staged, as_of),
        "signed_again_at": [*before.get("signed_again_at", ()), now.isoformat()],
    }
    write_json(publication_path(store, as_of), told)
    _follow(store, told)


def _follow(store: Store, publication: dict[str, Any]) -> None:
    """Let globs and the pointer follow the manifest of a date."""
    if not is_visible(store, publication):
        show_parts(store, publication)
    follow_current(store, publication)


def finish_lists(store: Store, replaced: list[DatasetRef]) -> None:
    """Let every date be followed, also where a kill came between, and remove the old parts."""
    for day in published_dates(store):
        publication = read_publication(store, day)
        told = {**publication, "inputs": _inputs(store, publication["inputs"])}
        if told != publication:
            write_json(publication_path(store, day), told)
        _follow(store, told)
    for ref in replaced:
        store.remove(ref)


def _inputs(store: Store, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a night with the figures that their manifests have now."""
    told = {}
    for role, known in inputs.items():
        as_of = date.fromisoformat(known["as_of"])
        ref = store.reuse(known["name"], as_of, known["key"], complete=False)
        told[role] = {**known, "rows": ref.rows, "figures": dict(ref.figures)} if ref else known
    return told
