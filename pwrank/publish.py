"""Publish: check every staged row, then make the night visible, all of it or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pwrank.config_file import section_hash
from pwrank.datasets import RANKINGS, DatasetRef, IdTypes
from pwrank.errors import GateRefusedError
from pwrank.gates.arrival import read_drift
from pwrank.gates.night import judge_night
from pwrank.gates.verdicts import Verdict, how_to_override, refusal_lines
from pwrank.horizon import SEEN_UNTIL, horizon_of, known_until
from pwrank.lists.ladder import degradations
from pwrank.publication import (
    RANKINGS_VERSION,
    follow_current,
    link_parts,
    names_to_show,
    publication_path,
    published_dates,
    rankings_path,
    read_current,
    read_publication,
    remember_retired,
    unlink_parts,
    write_current,
)
from pwrank.published_refs import NightRefs
from pwrank.run import Run, code_version
from pwrank.signatures import SIGNED, describe_part, verify_publication, verify_ref
from pwrank.store import Progress, Store, write_json

CONFIG_KEPT_OUT = {"lake", "source"}
"""Sections whose values may hold private paths; the manifest gets their hash only."""

NIGHTLY_DATASETS = ("histories", "catalogue", "index", "staged", "reports")
"""Datasets of one date, removed with it."""


@dataclass(frozen=True)
class Published:
    """What became visible."""

    as_of: date
    version: str
    rows: int
    users: int
    reused: bool
    current: bool
    """Whether the pointer points here now."""
    gates: Sequence[Mapping[str, Any]]
    """What each gate said, as JSON values."""


def publish(
    run: Run,
    *,
    staged: DatasetRef,
    night: NightRefs,
    metrics: DatasetRef,
    progress: Progress | None = None,
) -> Published:
    """Check the staged rankings and publish them.

    Raises GateRefusedError, with nothing changed for readers, if a gate refuses. The pointer moves
    only forward: a backfill of an older date does not make it current; and after a rollback only
    past all that was published then, so that what was rolled back from does not come back.
    """
    store = run.store
    if SIGNED in staged.figures:
        verify_ref(store.lake, staged)
    with contextlib.suppress(FileNotFoundError):
        earlier = read_publication(store, run.as_of)
        if earlier["version"] == staged.key and _is_visible(store, earlier, run.as_of):
            verify_publication(store, earlier)
            return _point(store, earlier, reused=True)
    found = judge_night(run, staged=staged, night=night, tell=progress)
    refused = [verdict for verdict in found if verdict.refuses]
    gates = [*read_drift(store, run.as_of)["verdicts"], *(verdict.to_json() for verdict in found)]
    if refused:
        raise GateRefusedError(_refusal(run, staged, refused), gates)
    publication = _describe(run, staged, night, metrics, gates)
    shown = {part["name"]: part["file"] for part in publication["parts"]}
    link_parts(store, store.lake / staged.path, shown, run.as_of)
    write_json(publication_path(store, run.as_of), publication)
    published = _point(store, publication, reused=False)
    retire(store, keep_nights=run.config.publish.keep_nights, as_of=run.as_of)
    return published


def rollback(
    store: Store, to: date, *, reason: str = "rollback", now: datetime | None = None
) -> dict[str, Any]:
    """Make an earlier publication current: one pointer moves, nothing is copied.

    It stays so until a date is published that is newer than all there are now.

    now: when, for the record in the pointer. Raises LakeError if a file of it is not the one that
    was published.
    """
    publication = read_publication(store, to)
    verify_publication(store, publication)
    newest = published_dates(store)[-1]
    held = {"held_until_after": newest.isoformat()} if to < newest else {}
    write_current(store, publication, moved=reason, at=now and now.isoformat(), **held)
    return publication


def retire(store: Store, *, keep_nights: int, as_of: date) -> list[date]:
    """Remove published dates beyond the newest `keep_nights`, never the current one.

    Also removes what was staged for published dates and then replaced.
    """
    current = read_current(store)
    protected = {as_of, *published_dates(store)[-keep_nights:]}
    if current:
        protected.add(date.fromisoformat(current["as_of"]))
    gone = [day for day in published_dates(store) if day not in protected]
    for day in gone:
        remember_retired(store, day)
        publication_path(store, day).unlink(missing_ok=True)
        unlink_parts(store, day)
    for name in NIGHTLY_DATASETS:
        for ref in store.refs(name):
            if ref.as_of in gone:
                store.remove(ref)
    kept = {day: read_publication(store, day)["version"] for day in published_dates(store)}
    for ref in store.refs("staged"):
        if ref.as_of in kept and ref.as_of != as_of and kept[ref.as_of] != ref.key:
            store.remove(ref)
    return gone


def _is_visible(store: Store, publication: Mapping[str, Any], as_of: date) -> bool:
    folder = store.lake / rankings_path(as_of)
    staged = store.lake / publication["staged_path"]
    return all(
        (folder / part["name"]).exists()
        and (staged / part["file"]).exists()
        and (folder / part["name"]).samefile(staged / part["file"])
        for part in publication["parts"]
    )


def _point(store: Store, publication: Mapping[str, Any], *, reused: bool) -> Published:
    """Move the pointer if this date is newer than the current one and than what holds it there."""
    as_of = publication["as_of"]
    pointer = read_current(store) or {"as_of": ""}
    if as_of > max(pointer["as_of"], pointer.get("held_until_after", "")):
        write_current(store, dict(publication), moved="published", at=publication["published_at"])
    elif as_of == pointer["as_of"]:
        follow_current(store, publication)
    return Published(
        as_of=date.fromisoformat(as_of),
        version=publication["version"],
        rows=publication["rows"],
        users=publication["users"],
        reused=reused,
        current=as_of == (read_current(store) or pointer)["as_of"],
        gates=publication["gates"],
    )


def _describe(
    run: Run,
    staged: DatasetRef,
    night: NightRefs,
    metrics: DatasetRef,
    gates: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The manifest of the publication."""
    store = run.store
    names = names_to_show(store, store.lake / staged.path, staged.files, run.as_of)
    paths = staged.file_paths(store.lake)
    parts = [describe_part(path, name) for path, name in zip(paths, names, strict=True)]
    ids = store.id_types() or IdTypes()
    return {
        "as_of": run.as_of.isoformat(),
        "version": staged.key,
        "contract": f"rankings/{RANKINGS_VERSION}",
        "schema": {name: str(dtype) for name, dtype in RANKINGS.schema(ids).items()},
        "path": rankings_path(run.as_of),
        "staged_path": staged.path,
        "parts": parts,
        "files": [part["name"] for part in parts],
        "rows": staged.rows,
        "users": staged.figures["users"],
        "figures": {name: told for name, told in staged.figures.items() if name != SIGNED},
        "inputs": night.to_json(),
        "metrics_key": metrics.key,
        "config": run.config.model_dump(mode="json", exclude=CONFIG_KEPT_OUT),
        "config_hash": section_hash(run.config),
        "code_version": code_version(),
        "cut": run.cut.isoformat(),
        "known_at": known_until(staged, at_least=run.known_at).isoformat(),
        SEEN_UNTIL: horizon_of(run.cut, staged, *night.refs()),
        "published_at": run.now.isoformat(),
        "degraded": degradations(store, night),
        "gates": gates,
        "overrides": {gate["gate"]: gate["override"] for gate in gates if gate["override"]},
    }


def _refusal(run: Run, staged: DatasetRef, refused: Sequence[Verdict]) -> str:
    lines = [
        (
            f"{run.as_of} is not published; {len(refused)} of the gates refused, "
            f"the staged rows are kept in {run.store.lake / staged.path}"
        )
    ]
    lines += refusal_lines(refused)
    lines.append(how_to_override(refused))
    return "\n".join(lines)
