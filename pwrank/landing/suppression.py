"""Whom the lake has forgotten, and how what is landed is kept free of them.

Only salted hashes of ids are kept, in `control/forgotten.json`: enough to know a person again who
stands in a source file, not enough to read off who it was. Where ids are few, such as small
numbers, whoever has the lake can try them all: guard that file as you guard the lake.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from pwrank.datasets import REJECTS, IdTypes
from pwrank.sources import Table
from pwrank.store import Store, read_json, write_json

FORGOTTEN = "forgotten"
"""Reason of a row that was set aside because the lake has forgotten its user."""

NO_RAW = '""'
"""Stands in `raw` where the text could name somebody who was forgotten."""


@dataclass(frozen=True)
class Suppression:
    """Salted hashes of the ids that may not come back."""

    salt: str = ""
    """Hexadecimal; up to 64 bytes."""
    hashes: frozenset[str] = frozenset()

    def hash_of(self, user_id: object) -> str:
        """Hash of an id by its text, so that 7 and "7" are one person."""
        text = str(user_id).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=bytes.fromhex(self.salt), digest_size=16).hexdigest()

    def holds(self, user_ids: pl.Series) -> pl.Series:
        """Whether each id is one of them (bool); each distinct id is hashed once."""
        distinct = user_ids.drop_nulls().unique().to_list()
        theirs = [user for user in distinct if self.hash_of(user) in self.hashes]
        return user_ids.is_in(pl.Series(theirs, dtype=user_ids.dtype).implode())

    def is_in_raw(self, raw: str) -> bool:
        """Whether a reject's text names one of them, or cannot be read so that nobody can tell."""
        try:
            row = json.loads(raw)
        except ValueError:  # cut off
            return True
        if not isinstance(row, dict):  # a line that is no row
            return raw != NO_RAW
        return any(self.hash_of(text) in self.hashes for text in _spellings(row))


def _spellings(row: dict[str, Any]) -> Iterator[str]:
    """Texts under which an id may stand in the cells of a row."""
    for value in row.values():
        text = str(value)
        yield text
        yield text.strip()
        with contextlib.suppress(ValueError, OverflowError):
            yield str(int(float(text)))


@dataclass
class Sieve:
    """Keeps the batches of one landing free of the forgotten."""

    suppression: Suppression
    table: Table
    found: set[str] = field(default_factory=set)
    """Hashes of those who stood in the file."""

    def sift(self, rows: pl.DataFrame, rejects: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Set their rows aside without a trace of who it was; the two still add up.

        Items are nobody's rows, but a broken line among them may name somebody.
        """
        if not self.suppression.hashes:
            return rows, rejects
        named = [self.suppression.is_in_raw(raw) for raw in rejects["raw"]]
        kept = without_text(rejects, named)
        if self.table == "items":
            return rows, kept
        theirs = self.suppression.holds(rows["user_id"])
        self.found |= {
            self.suppression.hash_of(user) for user in rows["user_id"].filter(theirs).unique()
        }
        aside = set_aside(rows.filter(theirs), self.table)
        return rows.filter(~theirs), pl.concat([kept, aside]).sort("source_line")


def without_text(rejects: pl.DataFrame, named: list[bool]) -> pl.DataFrame:
    """Rejects without the text of those that could name somebody; named: of each."""
    raw = pl.when(pl.Series(named, dtype=pl.Boolean)).then(pl.lit(NO_RAW)).otherwise("raw")
    return rejects.with_columns(raw=raw)


def set_aside(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """REJECTS of landed rows whose user is forgotten: where they stood, not what."""
    return rows.select(
        pl.lit(table).alias("table"),
        "source_file",
        "source_line",
        pl.lit(FORGOTTEN).alias("reason"),
        pl.lit(NO_RAW).alias("raw"),
        "ingested_at",
    ).match_to_schema(REJECTS.schema(IdTypes()))


def read_suppression(store: Store) -> Suppression:
    """Everybody whom the lake has forgotten, or is about to."""
    told = read_record(store)
    return Suppression(told["salt"], frozenset(person["hash"] for person in told["people"]))


def read_record(store: Store) -> dict[str, Any]:
    """The record of forgettings: salt, and a person each with hash, times and counts."""
    with contextlib.suppress(FileNotFoundError):
        return read_json(store.control / "forgotten.json")
    return {"salt": "", "people": []}


def write_record(store: Store, record: dict[str, Any]) -> None:
    """Replace the record of forgettings."""
    write_json(store.control / "forgotten.json", record)
