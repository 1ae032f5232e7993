"""The record of one forgetting under way: who (as a salted hash), when, and what went."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pwrank.landing.suppression import read_record, write_record
from pwrank.store import Store


@dataclass(frozen=True)
class Journal:
    """What was taken out so far; without `done_at` the forgetting is not finished."""

    store: Store
    record: dict[str, Any]
    entry: dict[str, Any]
    """This person's part of the record: hash, times, removed."""

    def count(self, dataset: str, rows: int) -> None:
        """Rows (or samples, or pages) that were just taken out of a dataset."""
        if rows:
            self.entry["removed"] = dict(Counter(self.entry["removed"]) + Counter({dataset: rows}))

    def finish(self, now: datetime) -> None:
        """Nothing is left to do."""
        self.entry["done_at"] = now.isoformat()
        write_record(self.store, self.record)


def begin(store: Store, digest: str, salt: str, now: datetime) -> Journal:
    """Note that somebody is to be forgotten: from here on nothing of them is landed."""
    record = read_record(store)
    record["salt"] = record["salt"] or salt
    entry = next((told for told in record["people"] if told["hash"] == digest), None)
    if entry is None:
        entry = {"hash": digest, "done_at": now.isoformat()}
        record["people"].append(entry)
    if entry["done_at"]:  # else it is the same call again, after a kill
        entry |= {"asked_at": now.isoformat(), "done_at": None, "removed": {}}
    write_record(store, record)
    return Journal(store, record, entry)
