"""Is a file still what its writer noted: sha256 of models, indexes and published lists.

Asked before a file is used, so that a damaged or exchanged one never ranks anything. Costs one
read of the file: about a second for a gigabyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.errors import LakeError
from pwrank.store import Store, file_sha256

SIGNED = "sha256"
"""Figure of a ref, and key of a published part, that holds the hash."""


def sign(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Name -> sha256 of files just written: the figure `sha256` of their ref."""
    return {name: file_sha256(folder / name) for name in names}


def describe_part(path: Path, name: str, sha256: str | None = None) -> dict[str, Any]:
    """A published part as the manifest of its date holds it: name, file, rows, bytes, sha256.

    path: the staged file; name: that which globs find it by; sha256: where it is known already.
    """
    rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
    told = {"name": name, "file": path.name, "rows": rows, "bytes": path.stat().st_size}
    return {**told, SIGNED: sha256 or file_sha256(path)}


def verify_ref(lake: Path, ref: DatasetRef, names: Sequence[str] | None = None) -> None:
    """Raise LakeError unless the files of a model or an index are what their manifest says.

    names: only these files; None: all of them.
    """
    noted: Mapping[str, str] = ref.figures.get(SIGNED, {})
    again = f"remove {lake / ref.path} and run {ref.as_of} again"
    if not noted:
        raise LakeError(f"{lake / ref.path}: its manifest names no sha256; {again}")
    for name, wanted in noted.items():
        if names is None or name in names:
            _verify(lake / ref.path / name, wanted, again)


def is_intact(lake: Path, ref: DatasetRef) -> bool:
    """Whether the files of a ref are what their manifest says."""
    try:
        verify_ref(lake, ref)
    except LakeError:
        return False
    return True


def verify_publication(store: Store, publication: Mapping[str, Any]) -> None:
    """Raise LakeError unless every published part is what the manifest of its date says.

    Where `read_rankings` finds it; `verify_shown` looks where globs do.
    """
    for part in publication["parts"]:
        kept = store.lake / publication["staged_path"] / part["file"]
        _verify(kept, part[SIGNED], _remove_and_repeat(publication))


def verify_shown(store: Store, publication: Mapping[str, Any]) -> None:
    """Raise LakeError unless globs find every published part as the manifest of its date says.

    A name of a file that `verify_publication` reads is not read again.
    """
    for part in publication["parts"]:
        kept = store.lake / publication["staged_path"] / part["file"]
        shown = store.lake / publication["path"] / part["name"]
        if not shown.exists() or not shown.samefile(kept):
            _verify(shown, part[SIGNED], _remove_and_repeat(publication))


def _remove_and_repeat(publication: Mapping[str, Any]) -> str:
    return f"remove the file; `pwrank run --as-of {publication['as_of']}` makes the date again"


def check_sizes(store: Store, publication: Mapping[str, Any]) -> list[Path]:
    """Paths of the published parts. Raises LakeError for one that is gone or of another size.

    What a reader can afford: no file is read.
    """
    again = f"`pwrank run --as-of {publication['as_of']}` makes the date again"
    paths = []
    for part in publication["parts"]:
        path = store.lake / publication["staged_path"] / part["file"]
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise LakeError(f"{path}: published, but no longer there; {again}") from None
        if size != part["bytes"]:
            raise LakeError(
                f"{path}: not the file that was published ({size:,} bytes, its manifest says "
                f"{part['bytes']:,}); remove it; {again}"
            )
        paths.append(path)
    return paths


def find_damaged(lake: Path, error: Exception) -> Path | None:
    """The file behind polars' complaint of a Parquet file, which it does not name.

    Reads the lake until it is found, one file in memory at a time.
    """
    if not isinstance(error, pl.exceptions.PolarsError) or "arquet" not in str(error):
        return None
    for path in sorted(lake.rglob("*.parquet")):
        try:
            pl.read_parquet(path)
        except pl.exceptions.PolarsError:
            return path
    return None


def _verify(path: Path, wanted: str, again: str) -> None:
    try:
        found = file_sha256(path)
    except FileNotFoundError:
        raise LakeError(f"{path}: no such file; {again}") from None
    if found != wanted:
        raise LakeError(
            f"{path}: not the file that was written (sha256 {found[:12]}, its manifest says "
            f"{wanted[:12]}); {again}"
        )
