"""Publish: check every staged row, then make the night visible, all of it or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pwrank.config_file import section_hash
from pwrank.datasets import RANKINGS, DatasetRef, IdTypes
from pwrank.errors import DateHeldError, GateRefusedError
from pwrank.gates.arrival import read_drift
from pwrank.gates.model import model_of
from pwrank.gates.night import judge_night
from pwrank.gates.verdicts import Verdict, how_to_override, refusal_lines
from pwrank.horizon import SEEN_UNTIL, horizon_of, known_until
from pwrank.lists.ladder import degradations
from pwrank.locks import date_lease
from pwrank.publication import (
    RANKINGS_VERSION,
    describe_parts,
    follow_current,
    is_visible,
    publication_path,
    published_dates,
    read_current,
    read_publication,
    show_again,
    show_parts,
    unlink_parts,
    write_current,
)
from pwrank.published_refs import NightRefs
from pwrank.ranker.model_card import REFUSED
from pwrank.refusals import note_refusal, settle_refusals
from pwrank.remembered import remember
from pwrank.run import Run, code_version
from pwrank.signatures import SIGNED, verify_publication, verify_ref
from pwrank.store import Progress, Store, write_json

CONFIG_KEPT_OUT = {"lake", "source"}
"""Sections whose values may hold private paths; the manifest gets their hash only."""

NEW_MODEL_GATES = ("validation", "model at work")
"""Gates that refuse a new model rather than the night."""

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
    with contextlib.suppress(FileNotFoundError):
        earlier = read_publication(store, run.as_of)
        if earlier["version"] == staged.key and is_visible(store, earlier):
            verify_publication(store, earlier)
            return _point(store, earlier, reused=True)
    if SIGNED in staged.figures:
        verify_ref(store.lake, staged)
    found = judge_night(run, staged=staged, night=night, tell=progress)
    refused = [verdict for verdict in found if verdict.refuses]
    gates = [*read_drift(store, run.as_of)["verdicts"], *(verdict.to_json() for verdict in found)]
    if refused:
        pass_over(store, night.model, refused)
        note_refusal(store, run.as_of, gates, now=run.now)
        raise GateRefusedError(_refusal(run, staged, refused), gates)
    publication = _describe(run, staged, night, metrics, gates)
    pass_over(store, night.model, ())
    show_parts(store, publication)
    write_json(publication_path(store, run.as_of), publication)
    published = _point(store, publication, reused=False)
    retire(store, keep_nights=run.config.publish.keep_nights, as_of=run.as_of)
    show_what_is_recorded(store, besides=run.as_of)
    return published


def show_what_is_recorded(store: Store, *, besides: date) -> None:
    """Let globs find the recorded lists of every date again that no run is at work on."""
    for day in published_dates(store):
        if day != besides:
            with (
                contextlib.suppress(DateHeldError),
                date_lease(store, day, {"run of": str(besides)}),
            ):
                show_again(store, read_publication(store, day))


def pass_over(store: Store, model: DatasetRef, refused: Sequence[Verdict]) -> None:
    """Let nights to come do without a model that its gates refuse; or with it, if none does.

    One behind a published night was accepted: what makes it look bad tonight is something else.
    """
    said = refusal_lines(verdict for verdict in refused if verdict.gate in NEW_MODEL_GATES)
    known = store.reuse("models", model.as_of, model.key)
    if known is None or bool(said) == (REFUSED in known.figures):
        return
    published = (read_publication(store, day) for day in published_dates(store))
    if said and any(model_of(publication) == model.key for publication in published):
        return
    figures = {name: told for name, told in known.figures.items() if name != REFUSED}
    figures |= {REFUSED: "; ".join(said)} if said else {}
    name, as_of, key = known.name, known.as_of, known.key
    store.commit(name, as_of, key, files=known.files, rows=known.rows, figures=figures)


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
        remember(store, read_publication(store, day))
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


def _point(store: Store, publication: Mapping[str, Any], *, reused: bool) -> Published:
    """Remember the date, and move the pointer to it if it is newer than what holds it there."""
    remember(store, publication)
    as_of = publication["as_of"]
    pointer = read_current(store) or {"as_of": ""}
    if as_of > max(pointer["as_of"], pointer.get("held_until_after", "")):
        write_current(store, dict(publication), moved="published", at=publication["published_at"])
    follow_current(store, publication)
    settle_refusals(store, date.fromisoformat(as_of))
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
    ids = store.id_types() or IdTypes()
    return {
        "as_of": run.as_of.isoformat(),
        "contract": f"rankings/{RANKINGS_VERSION}",
        "schema": {name: str(dtype) for name, dtype in RANKINGS.schema(ids).items()},
        **describe_parts(store, staged, run.as_of),
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
