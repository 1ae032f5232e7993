"""Published rankings: what is visible, which is current, and how it becomes so.

A publication is a set of staged parts that passed the gates. Its parts are hard links, under
`rankings/v1/as_of=D/`, to immutable files under `staged/`: a folder is swapped in by one rename,
so that a glob on a published date sees the old list or the new one. A date that is published again
shows its parts under other numbers: a glob that ran through the swap is told that a file is gone
and may try again. `read_rankings` goes through the manifest to the immutable files and is safe even
then.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import filecmp
import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.errors import LakeError
from pwrank.signatures import SIGNED, check_sizes, describe_part, verify_publication, verify_shown
from pwrank.store import Store, flush_file, read_json, scratch_folder, write_json

RANKINGS_VERSION = "v1"
"""Major version of the contract; a change that breaks a reader gets a new path."""

PART_NUMBERS = 100_000
"""Numbers that the name of a part has room for."""

KEPT_MOVES = 100
"""Moves of the pointer that are remembered."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def rankings_path(as_of: date) -> str:
    """Folder of a date's published parts, relative to the lake."""
    return f"rankings/{RANKINGS_VERSION}/as_of={as_of}"


def publication_path(store: Store, as_of: date) -> Path:
    """Manifest of a published date."""
    return store.control / "published" / f"as_of={as_of}.json"


def read_publication(store: Store, as_of: date) -> dict[str, Any]:
    """Manifest of a published date. Raises FileNotFoundError if it was never published."""
    return read_json(publication_path(store, as_of))


def published_dates(store: Store) -> list[date]:
    """Dates with a publication, oldest first."""
    names = (path.stem for path in (store.control / "published").glob("as_of=*.json"))
    return sorted(date.fromisoformat(name.removeprefix("as_of=")) for name in names)


def last_publication(store: Store, as_of: date) -> dict[str, Any] | None:
    """Manifest of the newest date published before `as_of`; None if there is none."""
    last = max((day for day in published_dates(store) if day < as_of), default=None)
    return read_publication(store, last) if last else None


def read_current(store: Store) -> dict[str, Any] | None:
    """The pointer: as_of and version of the current rankings; None before the first night."""
    with contextlib.suppress(FileNotFoundError):
        return read_json(store.control / "current.json")
    return None


def write_current(store: Store, publication: dict[str, Any], **note: Any) -> None:
    """Point `current` at a publication; one rename, no copy.

    The last moves stay beside it, oldest first, each with its note.
    """
    target = {"as_of": publication["as_of"], "version": publication["version"], **note}
    moves = (read_current(store) or {}).get("moves", [])
    pointer = {
        **target,
        "manifest": f"control/published/as_of={publication['as_of']}.json",
        "moves": [*moves, target][-KEPT_MOVES:],
    }
    write_json(store.control / "current.json", pointer)


def follow_current(store: Store, publication: Mapping[str, Any]) -> None:
    """If the date is current, let the pointer name the lists that it has now.

    Why it stands there is kept.
    """
    pointer = read_current(store)
    if pointer is None or pointer["as_of"] != publication["as_of"]:
        return
    if pointer["version"] != publication["version"]:
        kept = ("moved", "at", "held_until_after")
        note = {name: pointer[name] for name in kept if name in pointer}
        write_current(store, dict(publication), **note)


NO_REASON = "no reason was given"


def rollback(
    store: Store, to: date, *, reason: str = NO_REASON, now: datetime | None = None
) -> dict[str, Any]:
    """Make an earlier publication current: one pointer moves, nothing is copied.

    It stays so until a date is published that is newer than all there are now.

    now: when, for the record in the pointer. Raises LakeError if a file of it is not the one that
    was published.
    """
    publication = read_publication(store, to)
    verify_publication(store, publication)
    show_again(store, publication)
    verify_shown(store, publication)
    newest = published_dates(store)[-1]
    held = {"held_until_after": newest.isoformat()} if to < newest else {}
    write_current(store, publication, moved=reason, at=now and now.isoformat(), **held)
    return publication


def describe_parts(store: Store, staged: DatasetRef, as_of: date) -> dict[str, Any]:
    """What the manifest of a date says of the staged lists that it shows, and under which names.

    staged: its figures hold the sha256 of its files, as verified or just written.
    """
    names = names_to_show(store, store.lake / staged.path, staged.files, as_of)
    known = staged.figures.get(SIGNED, {})
    parts = [
        describe_part(path, name, known.get(path.name))
        for path, name in zip(staged.file_paths(store.lake), names, strict=True)
    ]
    return {
        "version": staged.key,
        "path": rankings_path(as_of),
        "staged_path": staged.path,
        "parts": parts,
        "files": names,
        "rows": staged.rows,
        "users": staged.figures["users"],
        "figures": {name: told for name, told in staged.figures.items() if name != SIGNED},
    }


def is_visible(store: Store, publication: Mapping[str, Any]) -> bool:
    """Whether globs find the very files that the manifest of a date names, and no other."""
    shown = store.lake / publication["path"]
    staged = store.lake / publication["staged_path"]
    pairs = [(shown / part["name"], staged / part["file"]) for part in publication["parts"]]
    return _shows_its_names(store, publication) and all(
        file.exists() and _same_part(name, file) for name, file in pairs
    )


def _shows_its_names(store: Store, publication: Mapping[str, Any]) -> bool:
    shown = {path.name for path in (store.lake / publication["path"]).glob("*")}
    return shown == {part["name"] for part in publication["parts"]}


def _same_part(shown: Path, staged: Path) -> bool:
    """Whether one is the other, or, in a lake that was copied without its links, a copy of it."""
    return shown.samefile(staged) or filecmp.cmp(shown, staged, shallow=False)


def show_parts(store: Store, publication: Mapping[str, Any]) -> None:
    """Let globs find the files that the manifest of a date names, all at once."""
    files = {part["name"]: part["file"] for part in publication["parts"]}
    as_of = date.fromisoformat(publication["as_of"])
    link_parts(store, store.lake / publication["staged_path"], files, as_of)


def show_again(store: Store, publication: Mapping[str, Any]) -> None:
    """Let globs find what the manifest of a date names, if they find files of other names.

    So it is after a run that was killed between showing new lists and recording them: until then
    globs find lists that no manifest tells of.
    """
    staged = store.lake / publication["staged_path"]
    if not _shows_its_names(store, publication) and all(
        (staged / part["file"]).exists() for part in publication["parts"]
    ):
        show_parts(store, publication)


def trouble_of(store: Store, publication: Mapping[str, Any]) -> str:
    """What can be told to be wrong with a date's lists without reading them; '' if nothing."""
    try:
        check_sizes(store, publication)
    except LakeError as error:
        return str(error)
    if not _shows_its_names(store, publication):
        folder = store.lake / publication["path"]
        again = f"`pwrank run --as-of {publication['as_of']}` shows them again"
        return f"{folder}: other files than the lists that were published; {again}"
    return ""


def names_to_show(store: Store, staged: Path, files: Sequence[str], as_of: date) -> list[str]:
    """Names under `rankings/v1` for the staged parts of a date: those that they have already.

    Else such as the date does not show now: whoever lists the old names and opens them after the
    swap is told that they are gone, and never gets the new night's part of that name instead.
    """
    shown = sorted((store.lake / rankings_path(as_of)).glob("part-*.parquet"))
    pairs = zip(shown, files, strict=False)
    if len(shown) == len(files) and all(_same_part(path, staged / name) for path, name in pairs):
        return [path.name for path in shown]
    taken = [int(path.stem.removeprefix("part-")) for path in shown]
    first = max(taken, default=-1) + 1
    if first + len(files) > PART_NUMBERS:
        first = 0
    return [f"part-{first + number:05d}.parquet" for number in range(len(files))]


def link_parts(store: Store, staged: Path, files: Mapping[str, str], as_of: date) -> None:
    """Make staged parts visible under `rankings/v1`, all at once. files: name there -> staged."""
    target = store.lake / rankings_path(as_of)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(store.lake / "staged") as scratch:
        fresh = scratch / "parts"
        fresh.mkdir()
        for name, file in files.items():
            os.link(staged / file, fresh / name)
        flush_file(fresh)
        if target.exists():
            _exchange(fresh, target)
        else:
            fresh.rename(target)
        flush_file(target.parent)


def unlink_parts(store: Store, as_of: date) -> None:
    """Take a date's parts out of sight in one step, then remove them."""
    target = store.lake / rankings_path(as_of)
    if target.exists():
        with scratch_folder(store.lake / "staged") as scratch:
            target.rename(scratch / "parts")


def _exchange(first: Path, second: Path) -> None:
    """Swap two folders in one step (Linux renameat2); elsewhere by two renames."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        names = (os.fsencode(first), os.fsencode(second))
        if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), str(second))
    aside = first.with_name("aside")
    second.rename(aside)
    first.rename(second)
    aside.rename(first)


def read_rankings(lake: Path | str, as_of: date | str | None = None) -> pl.LazyFrame:
    """The rankings of exactly one publication, as a polars LazyFrame.

    as_of: a published date; None for the current one. Sorted by (user_id, rank) within each part,
    and a user is in one part only. Raises LakeError if there is no such publication, or if one of
    its files is gone or of another size than its manifest says.
    """
    store = Store(Path(lake))
    if as_of is None:
        current = read_current(store)
        if current is None:
            raise LakeError(f"{lake}: nothing is published here yet; `pwrank run` publishes")
        as_of = current["as_of"]
    wanted = as_of if isinstance(as_of, date) else date.fromisoformat(as_of)
    try:
        publication = read_publication(store, wanted)
    except FileNotFoundError:
        dates = ", ".join(map(str, published_dates(store)[-3:])) or "none"
        raise LakeError(f"{lake}: {wanted} is not published (latest: {dates})") from None
    return pl.scan_parquet(check_sizes(store, publication))
