"""The catalogue as an as-of date knows it: one row an item, with the text that is embedded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import cast

import polars as pl

from pwrank.config import CleanConfig, Config
from pwrank.datasets import CATALOGUE, DatasetRef, IdTypes
from pwrank.errors import SourceError
from pwrank.horizon import SEEN_UNTIL, horizon
from pwrank.landing.drops import Drop
from pwrank.landing.parsing import PLACEHOLDER
from pwrank.store import Store, fingerprint, write_dataset

CATALOGUE_VERSION = 2
"""Raise when the same item drops would give another catalogue."""

CONTENT = ["title", "text", "category", "available", "attributes"]


def latest_items(rows: pl.DataFrame, rule: str) -> pl.DataFrame:
    """One row an item: the last known, or with `most_frequent` the commonest content.

    rows: ITEMS rows, already cut. A file that comes later in name replaces what came before;
    `updated_at` orders where it is given. Ties of `most_frequent` go to the last.
    """
    order = ["updated_at", "source_file", "source_line"]
    rows = rows.sort(order, nulls_last=False, maintain_order=True)
    if rule == "most_frequent":
        filled = (pl.col("title").str.len_chars() + pl.col("text").str.len_chars()) > 0
        rows = rows.with_columns(
            pl.len().over("item_id", *CONTENT).alias("count"), filled.alias("filled")
        ).sort("filled", "count", maintain_order=True)
    return rows.unique("item_id", keep="last", maintain_order=True).sort("item_id")


def refuse_contradictions(rows: pl.DataFrame, rule: str) -> None:
    """Raise SourceError if one file says two things of one item at the same time."""
    if rule != "refuse":
        return
    versions = rows.unique(["source_file", "item_id", "updated_at", *CONTENT])
    told_twice = versions.filter(pl.struct("source_file", "item_id", "updated_at").is_duplicated())
    if told_twice.height:
        first = told_twice.sort("source_file", "source_line").row(0, named=True)
        count = told_twice["item_id"].n_unique()
        raise SourceError(
            f"{first['source_file']}: {count:,} item ids stand in rows that disagree, such as "
            f"{first['item_id']!r} (line {first['source_line']}: title {first['title']!r}); "
            'mend the file, or set [clean] duplicate_items = "last" or "most_frequent"'
        )


def known_before(cut: datetime) -> pl.Expr:
    """Whether an ITEMS row exists for a run; one that says not when it was written always does."""
    return pl.col("updated_at").is_null() | (pl.col("updated_at") < cut)


def no_usable_items() -> SourceError:
    """The error about a table of items of which every row was rejected."""
    return SourceError("the catalogue has no usable item rows; see rejects/items in the lake")


def refuse_useless(catalogue: pl.DataFrame, as_of: date) -> None:
    """Raise SourceError if nothing could be told of any item, or none may be ranked.

    catalogue: content_hash and available of each item.
    """
    known = f"none of the {catalogue.height:,} items known before {as_of}"
    if (catalogue["content_hash"] == "").all():
        raise SourceError(f"{known} has text; name the title or text column in [source.columns]")
    if not catalogue["available"].any():
        raise SourceError(
            f"{known} is available; check the column that [source.columns] `available` names"
        )


def render_text(rows: pl.DataFrame, template: str) -> pl.Series:
    """The text that is embedded: the template filled with item columns, empty parts left out.

    A part is what stands between two placeholders; an item without title, text and any other
    used column has the text ''.
    """
    literals = PLACEHOLDER.split(template)
    names = literals[1::2]
    known = {name: rows[name].to_list() for name in names if name in rows.columns}
    # Parsing them takes as long as all else here, and the usual template asks for none.
    asked = set(names) - set(known)
    attributes = [json.loads(value) if asked else {} for value in rows["attributes"].to_list()]
    rendered = []
    for index, extra in enumerate(attributes):
        values = [
            known[name][index] if name in known else str(extra.get(name, "")) for name in names
        ]
        rendered.append(_fill(literals, values))
    return pl.Series("text", rendered, dtype=pl.String)


def _fill(literals: Sequence[str], values: Sequence[str]) -> str:
    """Join the values with the literals before them; a literal before the first value is kept."""
    text = ""
    for position, value in enumerate(values):
        if not value:
            continue
        before = literals[2 * position]
        ends_alike = before[:1] in ".!?" and text[-1:] in ".!?"
        if text or position == 0:
            text += before[1:] if text and before and ends_alike else before
        text += value
    return text.strip()


def check_template(template: str, config: Config) -> None:
    """Raise SourceError if the template names nothing, or has a brace that names nothing."""
    idle_brace = {"{", "}"} & set(PLACEHOLDER.sub("", template))
    if idle_brace or not PLACEHOLDER.search(template):
        what = "has a brace that names no column" if idle_brace else "names no column"
        raise SourceError(
            f"[encoder] text_template = {template!r} {what}; use e.g. "
            f"{type(config.encoder).model_fields['text_template'].default!r}"
        )


def catalogue_rows(rows: pl.DataFrame, clean: CleanConfig, template: str) -> pl.DataFrame:
    """CATALOGUE rows of ITEMS rows that the as-of date may know."""
    refuse_contradictions(rows, clean.duplicate_items)
    rows = latest_items(rows, clean.duplicate_items)
    texts = render_text(rows, template)
    hashes = [hashlib.sha256(t.encode()).hexdigest() if t else "" for t in texts.to_list()]
    return rows.select(
        "item_id",
        "title",
        "category",
        "available",
        texts,
        pl.Series("content_hash", hashes, dtype=pl.String),
    )


def catalogue_key(drops: Sequence[Drop], config: Config, cut: datetime) -> str:
    """Name of the catalogue that these item drops give."""
    return fingerprint(
        "catalogue",
        CATALOGUE_VERSION,
        [drop.content_key for drop in drops],
        cut,
        config.clean.duplicate_items,
        config.encoder.text_template,
    )


def build_catalogue(
    store: Store, drops: Sequence[Drop], config: Config, *, as_of: date, cut: datetime
) -> DatasetRef:
    """Write CATALOGUE for what `drops` say before `cut`; one file, sorted by item."""
    template = config.encoder.text_template
    check_template(template, config)
    key = catalogue_key(drops, config, cut)
    if found := store.reuse("catalogue", as_of, key):
        return found
    ids = store.id_types() or IdTypes()
    files = [store.lake / name for drop in drops for name in drop.files]
    if not drops:
        raise SourceError(
            "nothing of the catalogue had landed at that time; choose a later --known-at"
        )
    if not files:
        raise no_usable_items()
    rows = pl.scan_parquet(files).filter(known_before(cut)).collect()
    catalogue = catalogue_rows(rows, config.clean, template)
    refuse_useless(catalogue, as_of)
    folder = store.folder("catalogue", as_of, key)
    write_dataset(store, CATALOGUE, catalogue, folder / "part-00000.parquet", ids)
    figures = {
        "rows_in": rows.height,
        "merged": rows.height - catalogue.height,
        "without_text": catalogue.filter(pl.col("content_hash") == "").height,
        "unavailable": catalogue.filter(~pl.col("available")).height,
        SEEN_UNTIL: horizon(
            cut,
            occurred_at=cast("datetime | None", rows["updated_at"].max()),
            ingested_at=cast("datetime | None", rows["ingested_at"].max()),
        ),
    }
    return store.commit(
        "catalogue",
        as_of,
        key,
        files=["part-00000.parquet"],
        rows=catalogue.height,
        figures=figures,
    )
