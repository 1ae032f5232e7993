"""The store: the only place that knows where things lie in a lake and how they get there.

Everything is written under a temporary name in the lake, flushed to disk, then renamed; a
manifest is written last, so its existence means that the whole is there. What has no manifest does
not exist for a reader, and the next run writes it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.datasets import LAKE_FORMAT, Dataset, DatasetRef, IdType, IdTypes
from pwrank.errors import LakeError, naming, unwritable
from pwrank.holds import TEMPORARY, held_file, held_folder, remove_if_abandoned

PARQUET_MARK = b"PAR1"

COMPRESSION_LEVEL = 1
"""zstd 1 against 3 on rankings: 4 % larger, written twice as fast."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically; JSON has no word for what is not finite, so that is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = finite(content)
    text = json.dumps(
        plain, indent=1, sort_keys=True, ensure_ascii=False, default=str, allow_nan=False
    )
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """The same JSON-like value with null for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [finite(held) for held in value]
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises LakeError if it is damaged, FileNotFoundError if absent."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LakeError(f"{path}: damaged ({error}); remove it and run again") from None
    if not isinstance(content, dict):
        raise LakeError(f"{path}: damaged (not an object); remove it and run again")
    return _Record(path, content)


class _Record(dict[str, Any]):
    """A JSON object that names its file when it lacks what is asked of it."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.path = path

    def __bool__(self) -> bool:
        return True  # an empty one is not the same as none

    def __missing__(self, key: str) -> Any:
        raise LakeError(f"{self.path}: damaged (no {key!r} in it); remove it and run again")


def is_whole(path: Path) -> bool:
    """Whether a file is there and, if it is Parquet, has its beginning and its end.

    What a bad disk or a hand cut off is made again, where the file has a maker.
    """
    if path.suffix != ".parquet" or not path.exists():
        return path.exists()
    with path.open("rb") as file:
        begins = file.read(len(PARQUET_MARK)) == PARQUET_MARK
        end = file.seek(0, os.SEEK_END) - len(PARQUET_MARK)
        file.seek(max(0, end))
        return begins and end > len(PARQUET_MARK) and file.read() == PARQUET_MARK


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write one Parquet file atomically; the same frame gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        frame.write_parquet(
            temporary, compression="zstd", compression_level=COMPRESSION_LEVEL, statistics=True
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: object) -> str:
    """Short stable hash of JSON-like values, the key of a stage's output."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def crc32_of(ids: pl.Series) -> pl.Series:
    """Checksum of the text of each id: the same in every process, as `hash()` is not."""
    known = ids.unique().alias("id")
    numbers = [zlib.crc32(value.encode()) for value in known.cast(pl.String).to_list()]
    table = pl.DataFrame([known, pl.Series("crc32", numbers, dtype=pl.UInt32)])
    return ids.to_frame("id").join(table, on="id", how="left", maintain_order="left")["crc32"]


def shard_of(ids: pl.Series, shards: int) -> pl.Series:
    """Shard of each id, from 0."""
    return (crc32_of(ids) % shards).alias("shard")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well."""
    with naming(path):
        handle, temporary = held_file(path.parent)
        try:
            yield temporary
            flush_file(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
            flush_file(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextlib.contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A folder below `root` that is gone, with what is left in it, when the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    handle, scratch = held_folder(root)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(handle)


def flush_file(path: Path) -> None:
    """Ask the disk to keep what was written (a folder: its names)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Store:
    """One lake on a file system."""

    lake: Path

    @property
    def control(self) -> Path:
        """Manifests, pointer and leases: everything that is not data."""
        return self.lake / "control"

    def open(self) -> Store:
        """Create the lake where there is none; refuse one of another version or not writable."""
        marker = self.control / "lake.json"
        try:
            self.control.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.control):
                pass
        except OSError as error:
            raise unwritable(self.lake, str(error.strerror)) from None
        if not marker.exists():
            write_json(marker, {"format": LAKE_FORMAT})
        return self.check_version()

    def check_version(self) -> Store:
        """Refuse a lake of another version; one that is not there yet is empty. Writes nothing."""
        marker = self.control / "lake.json"
        if self.lake.exists() and not self.lake.is_dir():
            raise LakeError(f"lake {self.lake}: not a folder; set `lake` to one")
        if not marker.exists():
            return self
        found = read_json(marker).get("format")
        if found != LAKE_FORMAT:
            raise LakeError(
                f"lake {self.lake}: written by another version (format {found}, this pwrank "
                f"reads {LAKE_FORMAT}); set `lake` to a new folder, or use that version"
            )
        return self

    # --- id types -------------------------------------------------------------------------

    def id_types(self) -> IdTypes | None:
        """Types of the ids in this lake; None before the first ingest."""
        with contextlib.suppress(FileNotFoundError):
            content = read_json(self.control / "ids.json")
            return IdTypes(IdType(content["user"]), IdType(content["item"]))
        return None

    def set_id_types(self, ids: IdTypes) -> None:
        """Fix the types of the ids of this lake."""
        write_json(self.control / "ids.json", asdict(ids))

    # --- datasets and artifacts -------------------------------------------------------------

    def reuse(
        self, name: str, as_of: date | None, key: str, *, complete: bool = True
    ) -> DatasetRef | None:
        """The ref that an earlier run wrote for the same key, if it is there, with its files.

        complete: false where the reader copes with files that were replaced since.
        """
        manifest = self._manifest_path(name, as_of, key)
        if not manifest.exists():
            return None
        ref = _ref_from(read_json(manifest), reused=True)
        if complete and not all(is_whole(path) for path in ref.file_paths(self.lake)):
            return None
        return ref

    def folder(self, name: str, as_of: date | None, key: str) -> Path:
        """Folder of one instance, made if absent; parts already in it survive a kill."""
        folder = self.lake / self._relative(name, as_of, key)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def commit(
        self,
        name: str,
        as_of: date | None,
        key: str,
        *,
        files: Iterable[str],
        rows: int,
        figures: Mapping[str, Any] | None = None,
    ) -> DatasetRef:
        """Write the manifest of an instance whose files are all in place."""
        relative = self._relative(name, as_of, key)
        ref = DatasetRef(name, as_of, key, relative, tuple(files), rows, dict(figures or {}))
        write_json(self._manifest_path(name, as_of, key), asdict(ref))
        return ref

    def refs(self, name: str) -> list[DatasetRef]:
        """Every committed instance of a dataset, by as-of date and key."""
        manifests = sorted((self.control / "manifests" / name).glob("**/*.json"))
        return [_ref_from(read_json(path), reused=True) for path in manifests]

    def remove(self, ref: DatasetRef) -> None:
        """Remove an instance: manifest first, so that no reader finds half of it."""
        self._manifest_path(ref.name, ref.as_of, ref.key).unlink(missing_ok=True)
        shutil.rmtree(self.lake / ref.path, ignore_errors=True)

    def sweep_temporary(self) -> int:
        """Remove what a killed run was writing; what is being written now is left alone."""
        found = list(self.lake.glob(f"**/{TEMPORARY}*"))
        return sum(remove_if_abandoned(path) for path in found)

    def _relative(self, name: str, as_of: date | None, key: str) -> str:
        return f"{name}/as_of={as_of}/{key}" if as_of else f"{name}/{key}"

    def _manifest_path(self, name: str, as_of: date | None, key: str) -> Path:
        folder = self.control / "manifests" / name
        return folder / f"as_of={as_of}" / f"{key}.json" if as_of else folder / f"{key}.json"


def _ref_from(content: Mapping[str, Any], *, reused: bool) -> DatasetRef:
    values = {told.name: content[told.name] for told in fields(DatasetRef) if told.name != "reused"}
    values["as_of"] = date.fromisoformat(values["as_of"]) if values["as_of"] else None
    values["files"] = tuple(values["files"])
    return DatasetRef(**values, reused=reused)


def write_dataset(
    store: Store, dataset: Dataset, frame: pl.DataFrame, path: Path, ids: IdTypes
) -> int:
    """Check a frame against its contract and write it as one file. Returns the row count."""
    dataset.check(frame, ids, place=str(path.relative_to(store.lake)))
    write_parquet(frame, path)
    return frame.height


Progress = Callable[[int], None]
"""Told how many units of work were just done."""
