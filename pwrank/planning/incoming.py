"""What waits in the source: counted by landing a share of it for real, in a scratch lake."""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pwrank.config import Config
from pwrank.datasets import IdTypes
from pwrank.landing.drops import Drop, Pending, pending_files, read_drops, visible_drops
from pwrank.landing.land import lake_id_types, land, parse_key
from pwrank.landing.parsing import PARSERS
from pwrank.run import Run
from pwrank.sources import SourceFile, Table, list_files
from pwrank.sources.files import holds_parquet
from pwrank.store import Store

Clock = Callable[[], float]
"""Seconds from some fixed moment; the caller's, since the library reads no clock."""

BLOCK = 1 << 16

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
"""The multiples of this have fractions that come nowhere together."""


@dataclass(frozen=True)
class Waiting:
    """The files of one table that the next landing will read."""

    table: Table
    files: tuple[Pending, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(pending.size for pending in self.files)


@dataclass(frozen=True)
class Landed:
    """A share of the waiting files of one table, landed in a scratch lake."""

    waiting: Waiting
    drops: tuple[Drop, ...]
    bytes: int
    """Of the waiting files that were read."""
    seconds: float

    @property
    def factor(self) -> float:
        """How many times as much is waiting."""
        return self.waiting.bytes / self.bytes if self.bytes else 1.0

    @property
    def whole(self) -> bool:
        """Whether all that is waiting was read."""
        return self.bytes == self.waiting.bytes

    @property
    def rows_in(self) -> int:
        """Rows waiting, counted or scaled up."""
        return round(sum(drop.rows_in for drop in self.drops) * self.factor)

    @property
    def rejected(self) -> int:
        """Those of them that will be rejects, counted or scaled up."""
        return round(sum(sum(d.rejected.values()) for d in self.drops) * self.factor)


def find_waiting(run: Run) -> list[Waiting]:
    """New and changed files by table, told by size and modification time."""
    files = list_files(run.config.source)
    found = []
    for table in PARSERS:
        rules = parse_key(run.config, table)
        drops = read_drops(run.store, table)
        of_table = [file for file in files if file.table == table]
        pending = pending_files(of_table, drops, rules, read=False)
        found.append(Waiting(table, tuple(pending)))
    return found


def known_drops(run: Run, waiting: Waiting) -> list[Drop]:
    """Drops of a table that the night will read besides the waiting files."""
    replaced = {pending.supersedes for pending in waiting.files}
    drops = visible_drops(read_drops(run.store, waiting.table), run.known_at)
    return [drop for drop in drops if drop.id not in replaced]


def ids_of(run: Run) -> IdTypes:
    """Id types as the lake has fixed them, else as its first landing would."""
    source, drops = run.config.source, (read_drops(run.store, table) for table in PARSERS)
    return lake_id_types(run.store, itertools.chain(*drops), list_files(source), source)


def land_share(
    run: Run, waiting: Waiting, scratch: Store, *, most_bytes: int, clock: Clock
) -> Landed:
    """Land evenly spread files up to about so many bytes; of a larger file, its beginning.

    Raises SourceError for a file that is read whole and that the night would refuse.
    """
    ids = ids_of(run)
    chosen = spread_files(waiting.files, most_bytes)
    started, drops, read = clock(), list[Drop](), 0
    for pending in chosen:
        part, share = _beginning(pending, scratch.lake / "beginnings", most_bytes)
        config = run.config if share == 1.0 else _lenient(run.config)
        beside = next((drop for drop in reversed(drops) if drop.files), None)
        drops.append(land(scratch, part, config, ids=ids, ingested_at=run.now, beside=beside))
        read += round(pending.size * share)
    return Landed(waiting, tuple(drops), read, clock() - started)


def _lenient(config: Config) -> Config:
    """The beginning of a file does not tell how much of it is unusable."""
    clean = config.clean.model_copy(update={"max_bad_share": 1.0})
    return config.model_copy(update={"clean": clean})


def spread_files(files: Sequence[Pending], most_bytes: int) -> list[Pending]:
    """One of every n files, so that days of every age are among them.

    Each from another place of its n: every sixth file of a shop that rests on Saturdays is of the
    same day of the week, and of the same customers.
    """
    total = sum(pending.size for pending in files)
    step = max(1, -(-total // most_bytes)) if len(files) > 1 else 1
    count, last = -(-len(files) // step), len(files) - 1
    places = (int((n + (0.5 + n * GOLDEN) % 1.0) * step) for n in range(count))
    return [files[min(place, last)] for place in places]


def _beginning(pending: Pending, folder: Path, most_bytes: int) -> tuple[Pending, float]:
    """The file, or a copy of its first rows where it is larger than that; and the share of it."""
    source = pending.file.path
    if pending.size <= most_bytes:
        return pending, 1.0
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / source.name
    if holds_parquet(source):
        share = _first_row_groups(source, copy, most_bytes / pending.size)
    elif source.suffix.lower() == ".gz":
        share = _first_lines_gz(source, copy, most_bytes)
    else:
        share = _first_lines(source, copy, most_bytes)
    file = SourceFile(pending.file.table, copy, pending.file.name)
    return replace(pending, file=file), share


def _first_lines(source: Path, copy: Path, most_bytes: int) -> float:
    with source.open("rb") as file, copy.open("wb") as short:
        head = file.read(most_bytes)
        head = head[: head.rfind(b"\n") + 1] or head
        short.write(head)
    return len(head) / source.stat().st_size


def _first_lines_gz(source: Path, copy: Path, most_bytes: int) -> float:
    with source.open("rb") as packed, gzip.open(copy, "wb", compresslevel=1) as short:
        head = b""
        with gzip.GzipFile(fileobj=packed) as file:
            while packed.tell() < most_bytes and (block := file.read(BLOCK)):
                head += block
        short.write(head[: head.rfind(b"\n") + 1])
        return packed.tell() / source.stat().st_size


def _first_row_groups(source: Path, copy: Path, share: float) -> float:
    with pq.ParquetFile(source) as file:
        rows = file.metadata.num_rows
        wanted = max(1, round(rows * share))
        batch = next(file.iter_batches(batch_size=wanted), None)
        table = pa.Table.from_batches([batch] if batch else [], file.schema_arrow)
        pq.write_table(table, copy)
        return table.num_rows / rows if rows else 1.0
