"""The ledger of drops: which source files were landed, as what, and when they became known.

A drop is one source file as it was read once. Its record is written last, so a drop either is
in the lake with all its rows and rejects, or is not there. A changed file is landed again and
supersedes its earlier drop from then on; a run that asks for what was known before still sees the
earlier one. Records live in `control/drops/<table>/<id>.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pwrank.errors import LakeError, first_line
from pwrank.sources import SourceFile, Table
from pwrank.store import Store, file_sha256, fingerprint, read_json, write_json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

STATISTICS_BYTES = 64
"""Bytes of a text that the statistics of a Parquet file keep."""


@dataclass(frozen=True)
class Drop:
    """One landed source file.

    `rows_in` = `rows_landed` + the sum of `rejected`. Times are UTC.
    """

    id: str
    table: Table
    source_file: str
    sha256: str
    size: int
    mtime_ns: int
    parse_key: str
    ingested_at: datetime
    supersedes: str | None
    rows_in: int
    rows_landed: int
    rejected: Mapping[str, int]
    files: tuple[str, ...]
    reject_files: tuple[str, ...]
    forgotten: tuple[str, ...] = ()
    """Salted hashes of the users whose rows were set aside because the lake has forgotten them."""

    @property
    def content_key(self) -> tuple[str, ...]:
        """What the landed rows depend on, and nothing else."""
        return (self.source_file, self.sha256, self.parse_key, *self.forgotten)


@dataclass(frozen=True)
class Pending:
    """A source file that must be landed, and the drop that it will replace."""

    file: SourceFile
    sha256: str
    size: int
    mtime_ns: int
    replaces: Drop | None

    @property
    def supersedes(self) -> str | None:
        """Id of the drop that it will replace."""
        return self.replaces.id if self.replaces else None

    def drop_id(self, parse_key: str, ingested_at: datetime) -> str:
        """Name of the drop: when it became known, and a hash of what it is."""
        content = fingerprint(self.file.name, self.sha256, parse_key, ingested_at.isoformat())
        return f"{ingested_at:%Y%m%dT%H%M%S}-{content}"


def read_drops(store: Store, table: Table) -> list[Drop]:
    """Every landed drop of a table, in the order of source file, then of landing."""
    records = (_drop_from(read_json(path)) for path in _folder(store, table).glob("*.json"))
    return sorted(records, key=lambda drop: (drop.source_file, drop.ingested_at, drop.id))


def write_drop(store: Store, drop: Drop) -> None:
    """Record a drop whose files are all in place: from now on it exists."""
    write_json(_folder(store, drop.table) / f"{drop.id}.json", asdict(drop))


def moments_of(path: Path) -> list[datetime]:
    """Earliest and latest `occurred_at` of a landed file, by its statistics; [] without any."""
    found = _said(pq.read_metadata(path), "occurred_at")
    return [EPOCH + timedelta(microseconds=end(found)) for end in (min, max)] if found else []


def check_landed(store: Store, drops: Iterable[Drop]) -> None:
    """Raise LakeError unless the landed files of the drops are there, whole and theirs.

    By what each file says of itself at its end: nothing else is read.
    """
    for drop in drops:
        record = _folder(store, drop.table) / f"{drop.id}.json"
        again = f"remove {record} and run again: {drop.source_file} is landed anew"
        rows = 0
        for name in drop.files:
            path = store.lake / name
            try:
                metadata = pq.read_metadata(path)
            except FileNotFoundError:
                raise LakeError(f"{path}: landed, but no longer there; {again}") from None
            except (OSError, pa.ArrowInvalid) as error:
                raise LakeError(f"{path}: damaged ({first_line(error)}); {again}") from None
            if not _is_of(metadata, drop.source_file):
                raise LakeError(f"{path}: holds rows of another source file; {again}")
            rows += metadata.num_rows
        if rows != drop.rows_landed:
            raise LakeError(
                f"{store.lake / drop.table / drop.id}: {rows:,} rows, "
                f"{drop.rows_landed:,} were landed; {again}"
            )


def _is_of(metadata: pq.FileMetaData, source_file: str) -> bool:
    """Whether all rows of a landed file bear this name, as far as its statistics tell.

    They keep the beginning of a long name only, and a larger one as the largest.
    """
    if "source_file" not in metadata.schema.to_arrow_schema().names:
        return False
    said, wanted = _said(metadata, "source_file"), source_file.encode()
    if len(wanted) <= STATISTICS_BYTES:
        return all(name == wanted for name in said)
    return all(wanted.startswith(name) for name in said[::2]) and all(
        name >= wanted for name in said[1::2]
    )


def _said(metadata: pq.FileMetaData, column: str) -> list[Any]:
    """Smallest and largest value of each row group in turn, as its statistics have them.

    As they are stored, times in microseconds and texts as bytes: to make a time of one, pyarrow
    imports pandas, which takes longer than reading the ends of a thousand files.
    """
    place = metadata.schema.to_arrow_schema().names.index(column)
    groups = [
        metadata.row_group(n).column(place).statistics for n in range(metadata.num_row_groups)
    ]
    return [
        value
        for told in groups
        if told and told.has_min_max
        for value in (told.min_raw, told.max_raw)
    ]


def visible_drops(drops: Iterable[Drop], known_at: datetime) -> list[Drop]:
    """Drops known at `known_at` and not superseded by then."""
    known = [drop for drop in drops if drop.ingested_at <= known_at]
    superseded = {drop.supersedes for drop in known}
    return [drop for drop in known if drop.id not in superseded]


def pending_files(
    files: Iterable[SourceFile], drops: Iterable[Drop], parse_key: str, *, read: bool = True
) -> list[Pending]:
    """Files that are new, whose bytes changed, or that were read by other rules.

    A file of unchanged size and modification time is not opened. read: false opens none, so that
    what only looks changed counts as changed, and no bytes are hashed.
    """
    latest = {drop.source_file: drop for drop in drops}
    pending = []
    for file in files:
        known = latest.get(file.name)
        status = file.path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        same_rules = known is not None and known.parse_key == parse_key
        if known and same_rules and stamp == (known.size, known.mtime_ns):
            continue
        sha256 = file_sha256(file.path) if read else ""
        if known and same_rules and sha256 == known.sha256:
            continue
        pending.append(Pending(file, sha256, *stamp, known))
    return pending


def sweep_unrecorded(store: Store, table: Table) -> None:
    """Remove what a killed landing left; only the holder of the landing lock may call this."""
    recorded = {path.stem for path in _folder(store, table).glob("*.json")}
    for name in (table, f"rejects/{table}"):
        for folder in _subfolders(store.lake / name):
            if folder.name not in recorded:
                shutil.rmtree(folder)


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _folder(store: Store, table: Table) -> Path:
    return store.control / "drops" / table


def _drop_from(content: Mapping[str, Any]) -> Drop:
    values = {told.name: content[told.name] for told in fields(Drop) if told.name != "forgotten"}
    values["ingested_at"] = datetime.fromisoformat(values["ingested_at"])
    values["files"] = tuple(values["files"])
    values["reject_files"] = tuple(values["reject_files"])
    values["forgotten"] = tuple(content.get("forgotten", ()))
    return Drop(**values)
