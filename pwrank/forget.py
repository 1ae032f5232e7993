"""Forget: one person taken out of everything a lake holds, for good, with a proof.

Whoever calls holds the whole lake (`locks.whole_lake`). Each file is replaced whole, and each step
can be done again: killed in the middle, the same call finishes the rest. Readers of other users
see their rows before, while and after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pwrank.config import Config
from pwrank.errors import ContractError, LakeError
from pwrank.evaluation.board_split import remove_boards
from pwrank.forgetting import removal
from pwrank.forgetting.brought_files import check_file, clear_file
from pwrank.forgetting.journal import Journal, begin
from pwrank.forgetting.lists import finish_lists, replace_lists
from pwrank.forgetting.person import Person
from pwrank.forgetting.search import Finding, lake_files, search_file
from pwrank.landing.suppression import Suppression, read_record
from pwrank.publication import published_dates, read_publication
from pwrank.published_refs import read_night
from pwrank.report.night import rewrite_night_report
from pwrank.store import Progress, Store


@dataclass(frozen=True)
class Search:
    """What a search of the whole lake found."""

    files: int
    """Files looked at."""
    as_user: Sequence[Finding]
    elsewhere: Sequence[Finding]
    """Files with the bare text of the id as something else, such as the word of a title."""


@dataclass(frozen=True)
class Forgotten:
    """What was done, without the id."""

    removed: Mapping[str, int]
    """Rows by dataset, emptied rejects, samples, and pages."""
    pairs: Mapping[str, int]
    """Rows taken out of the caller's own files."""
    models_due: Sequence[str]
    """Versions of the models that the next run replaces."""
    dates: Sequence[date]
    """Published dates whose manifests were signed anew."""
    proof: Search


def person_of(store: Store, user_id: str | int, salt: str) -> Person:
    """Somebody by their id in the type of the lake. salt: used if the lake has none yet."""
    suppression = Suppression(read_record(store)["salt"] or salt)
    known = frozenset({suppression.hash_of(user_id)})
    return Person(user_id, Suppression(suppression.salt, known))


def forgotten_at(store: Store, person: Person) -> str | None:
    """When the person was forgotten, in ISO 8601; None if they never were, or not to the end."""
    people = read_record(store)["people"]
    return next(
        (one["done_at"] for one in people if one["hash"] in person.suppression.hashes), None
    )


def look_for(store: Store, person: Person, progress: Progress | None = None) -> Search:
    """Search every file of the lake. Raises LakeError for one that cannot be read."""
    findings = []
    paths = lake_files(store.lake)
    for path in paths:
        if found := search_file(path, person):
            findings.append(found)
        if progress:
            progress(1)
    as_user = [found for found in findings if found.rows]
    return Search(len(paths), as_user, [found for found in findings if not found.rows])


def forget(
    store: Store,
    config: Config,
    person: Person,
    *,
    now: datetime,
    pairs: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Forgotten:
    """Take the person out of every dataset, list, page and sample, and of the files in `pairs`.

    From the first step on nothing of them is landed again; what boards left beside the lake is
    removed altogether. Raises ContractError if the search
    afterwards still finds them, which would be a defect.
    """
    store.sweep_temporary()
    for path in pairs:  # all of them, before the first is written
        check_file(path, person, config.source)
    gone = {str(path): clear_file(path, person, config.source) for path in pairs}
    (digest,) = person.suppression.hashes
    journal = begin(store, digest, person.suppression.salt, now)
    remove_boards(config)
    due = removal.mark_models(store, person, config.time_zone)
    replaced = replace_lists(store, person, journal, now)
    removal.clear_drops(store, person, journal)
    removal.clear_tables(store, person, journal, but=replaced)
    finish_lists(store, replaced)
    removal.clear_samples(store, person, journal)  # before the pages, which are made of them
    _clear_pages(store, config, person, journal)
    proof = look_for(store, person, progress)
    if proof.as_user:
        raise ContractError(
            f"{proof.as_user[0].path}: still names the person, with "
            f"{len(proof.as_user) - 1} more files; run the same command again and report it"
        )
    journal.finish(now)
    asked = journal.entry["asked_at"]
    signed = [
        day
        for day in published_dates(store)
        if any(at >= asked for at in read_publication(store, day).get("signed_again_at", ()))
    ]
    return Forgotten(dict(journal.entry["removed"]), gone, due, signed, proof)


def _clear_pages(store: Store, config: Config, person: Person, journal: Journal) -> None:
    """Pages that show the person: written again without them, or removed if they cannot be."""
    for path in sorted((store.lake / "reports").rglob("*.html")):
        if not person.is_in_page(path.read_text(encoding="utf-8", errors="replace")):
            continue
        try:
            as_of = date.fromisoformat(path.parent.name.removeprefix("as_of="))
            publication: dict[str, Any] = read_publication(store, as_of)
            rewrite_night_report(store, config, publication, read_night(store, publication))
        except (ValueError, FileNotFoundError, LakeError):
            path.unlink()  # a night that was refused, or whose inputs were retired since
        journal.count("pages", 1)
