"""Every file of a lake, searched for one person: as a user, or by the bare text of their id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pwrank.errors import LakeError, first_line
from pwrank.forgetting.person import Person, leaves
from pwrank.holds import TEMPORARY
from pwrank.store import read_json

OTHER_IDS = frozenset({"item_id", "reason_item_ids", "content_hash"})
"""Columns of ids that are nobody's."""


@dataclass(frozen=True)
class Finding:
    """One file that names the person."""

    path: Path
    rows: int
    """Rows, samples or pages in which they are a user."""
    elsewhere: str
    """Where the bare text of the id stands as something else, such as a title; '' if nowhere."""


def lake_files(lake: Path) -> list[Path]:
    """Every file below a lake but what is being written, by name."""
    return sorted(path for path in lake.rglob("*") if path.is_file() and TEMPORARY not in str(path))


def search_file(path: Path, person: Person) -> Finding | None:
    """What one file says of the person; None if nothing. Memory: its text columns."""
    if path.suffix == ".parquet":
        rows, elsewhere = _search_parquet(path, person)
    elif path.suffix == ".json":
        rows, elsewhere = _search_json(path, person)
    else:
        text = path.read_bytes().decode("utf-8", "replace")
        rows = int(path.suffix == ".html" and person.is_in_page(text))
        elsewhere = "its text" if not rows and person.is_telling and person.is_in(text) else ""
    return Finding(path, rows, elsewhere) if rows or elsewhere else None


def _search_parquet(path: Path, person: Person) -> tuple[int, str]:
    try:
        scan = pl.scan_parquet(path)
        schema = scan.collect_schema()
        rows = 0
        if "user_id" in schema and same_type(schema["user_id"], person):
            theirs = scan.filter(person.rows(pl.col("user_id")))
            rows += int(theirs.select(pl.len()).collect().item())
        if "raw" in schema:
            raw = scan.select("raw").collect()["raw"]
            rows += sum(person.is_in_raw(text) for text in raw)
        texts = [
            name
            for name, dtype in schema.items()
            if dtype == pl.String and name not in OTHER_IDS | {"user_id", "raw"}
        ]
        found = [name for name in texts if person.is_telling and _in_column(scan, name, person)]
    except pl.exceptions.PolarsError as error:
        raise LakeError(f"{path}: damaged ({first_line(error)}); remove it and run again") from None
    return rows, f"column {', '.join(found)}" if found else ""


def _in_column(scan: pl.LazyFrame, name: str, person: Person) -> bool:
    texts = scan.select(pl.col(name).drop_nulls().unique()).collect()[name]
    if person.text.isalnum():  # then it has one spelling, which polars finds faster
        texts = texts.filter(texts.str.contains(person.text, literal=True))
    return any(person.is_in(text) for text in texts)


def _search_json(path: Path, person: Person) -> tuple[int, str]:
    content = read_json(path)
    rows = int(person.in_samples(content))
    others = {
        key for key, value in leaves(content) if isinstance(value, str) and person.is_in(value)
    }
    found = sorted(others) if person.is_telling and not rows else []
    return rows, f"key {', '.join(found)}" if found else ""


def same_type(dtype: pl.DataType, person: Person) -> bool:
    """Whether a column of this type can hold the id."""
    return dtype.is_integer() if isinstance(person.user_id, int) else dtype == pl.String
