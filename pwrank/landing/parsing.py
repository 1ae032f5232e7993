"""Raw rows of a source -> typed rows, and a reject with its reason for each row that is not.

The heights of the two always sum to the height of the raw frame.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

import polars as pl

from pwrank.config import Config, RejectRule, SourceConfig
from pwrank.datasets import (
    INTERACTIONS,
    ITEMS,
    LISTED_USERS,
    NO_TIME,
    REJECTS,
    UTC_MICROSECONDS,
    Dataset,
    IdTypes,
)
from pwrank.errors import ConfigError, SourceError, first_line
from pwrank.landing.cells import (
    Verdicts,
    as_text,
    parse_availability,
    parse_ids,
    parse_numbers,
    parse_text,
)
from pwrank.landing.timestamps import parse_timestamps
from pwrank.sources.columns import column_roles
from pwrank.sources.files import LINE_COLUMN, SourceFile, Table, did_you_mean
from pwrank.sources.lines import RAW_CHARACTERS

DEFAULT_EVENT = "interaction"
DEFAULT_WEIGHT = 1.0

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
"""A column that `[encoder] text_template` names, by the source's own name."""

_BUILT_IN = ("item_id", "title", "text", "category", "available", "updated_at")


def parse_interactions(
    raw: pl.DataFrame, config: Config, *, file: SourceFile, ids: IdTypes, ingested_at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """INTERACTIONS and REJECTS of one raw batch, both in the order of the file.

    Raises SourceError if the batch lacks a column, ConfigError for a reject rule that cannot be.
    """
    roles = column_roles(raw.columns, file, config.source)
    verdicts = Verdicts(file)
    user = parse_ids(raw[roles["user_id"]], ids.user, "user_id", verdicts)
    item = parse_ids(raw[roles["item_id"]], ids.item, "item_id", verdicts)
    _apply_rules(raw, config.clean.reject, file, verdicts)
    occurred_at = _parse_times(raw, roles, "timestamp", config, verdicts)
    event, weight = _constant(raw, DEFAULT_EVENT), _constant(raw, DEFAULT_WEIGHT)
    if "event" in roles:
        event = parse_text(raw[roles["event"]], "event", verdicts).replace("", DEFAULT_EVENT)
    rating = pl.repeat(None, raw.height, dtype=pl.Float32, eager=True)
    if "rating" in roles:
        rating = parse_numbers(raw[roles["rating"]], "rating", verdicts)
        rating = without_unrated(rating, config.source)
    if "weight" in roles:
        weight = parse_numbers(raw[roles["weight"]], "weight", verdicts).fill_null(DEFAULT_WEIGHT)
        verdicts.reject(weight <= 0, "weight is not above zero")
    columns = {
        "user_id": user,
        "item_id": item,
        "event": event,
        "occurred_at": occurred_at,
        "ingested_at": _constant(raw, ingested_at),
        "rating": rating,
        "weight": weight,
        "source_file": _constant(raw, file.name),
        "source_line": raw[LINE_COLUMN],
    }
    typed = pl.DataFrame(columns, schema_overrides=INTERACTIONS.schema(ids))
    return _split(raw, typed, verdicts, file, ingested_at)


def parse_items(
    raw: pl.DataFrame, config: Config, *, file: SourceFile, ids: IdTypes, ingested_at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """ITEMS and REJECTS of one raw batch, both in the order of the file; nothing is merged.

    `attributes` holds the columns that the text template names and that are not built in.
    Raises SourceError if the batch lacks a column, ConfigError for a reject rule that cannot be.
    """
    roles = column_roles(raw.columns, file, config.source)
    verdicts = Verdicts(file)
    item = parse_ids(raw[roles["item_id"]], ids.item, "item_id", verdicts)
    _apply_rules(raw, config.clean.reject, file, verdicts)
    texts = {
        name: parse_text(raw[roles[name]], name, verdicts) if name in roles else _constant(raw, "")
        for name in ("title", "text", "category")
    }
    available = _constant(raw, value=True)
    if "available" in roles:
        available = parse_availability(raw[roles["available"]], verdicts)
    updated_at = pl.repeat(None, raw.height, dtype=UTC_MICROSECONDS, eager=True)
    if "updated_at" in roles:
        updated_at = _parse_times(raw, roles, "updated_at", config, verdicts)
    columns = {
        "item_id": item,
        **texts,
        "available": available,
        "updated_at": updated_at,
        "ingested_at": _constant(raw, ingested_at),
        "attributes": _attributes(raw, config, file, verdicts),
        "source_file": _constant(raw, file.name),
        "source_line": raw[LINE_COLUMN],
    }
    typed = pl.DataFrame(columns, schema_overrides=ITEMS.schema(ids))
    return _split(raw, typed, verdicts, file, ingested_at)


def parse_users(
    raw: pl.DataFrame, config: Config, *, file: SourceFile, ids: IdTypes, ingested_at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """LISTED_USERS and REJECTS of one raw batch, both in the order of the file."""
    roles = column_roles(raw.columns, file, config.source)
    verdicts = Verdicts(file)
    columns = {
        "user_id": parse_ids(raw[roles["user_id"]], ids.user, "user_id", verdicts),
        "ingested_at": _constant(raw, ingested_at),
        "source_file": _constant(raw, file.name),
        "source_line": raw[LINE_COLUMN],
    }
    typed = pl.DataFrame(columns, schema_overrides=LISTED_USERS.schema(ids))
    return _split(raw, typed, verdicts, file, ingested_at)


class Parser(Protocol):
    """Typed rows and rejects of one raw batch of a table."""

    def __call__(
        self,
        raw: pl.DataFrame,
        config: Config,
        *,
        file: SourceFile,
        ids: IdTypes,
        ingested_at: datetime,
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows in the table's contract, and REJECTS rows."""
        ...


PARSERS: Mapping[Table, tuple[Dataset, Parser]] = {
    "interactions": (INTERACTIONS, parse_interactions),
    "items": (ITEMS, parse_items),
    "users": (LISTED_USERS, parse_users),
}
"""Each table's contract in the lake, and how its rows are read."""


def reject_rows(broken: pl.DataFrame, *, file: SourceFile, ingested_at: datetime) -> pl.DataFrame:
    """REJECTS of a batch's broken lines, which parsing never sees."""
    return broken.select(
        pl.lit(file.table).alias("table"),
        pl.lit(file.name).alias("source_file"),
        LINE_COLUMN,
        "reason",
        "raw",
        pl.lit(ingested_at, UTC_MICROSECONDS).alias("ingested_at"),
    ).match_to_schema(REJECTS.schema(IdTypes()))


def without_unrated(rating: pl.Series, source: SourceConfig) -> pl.Series:
    """Ratings; null where the value says that none was given."""
    return rating if source.unrated is None else rating.set(rating == source.unrated, None)


def _parse_times(
    raw: pl.DataFrame, roles: dict[str, str], role: str, config: Config, verdicts: Verdicts
) -> pl.Series:
    """UTC times; only an interaction must have one."""
    if role not in roles:
        return _constant(raw, NO_TIME)
    values = raw[roles[role]]
    try:
        parsed = parse_timestamps(values, config.source)
    except TypeError as error:
        raise SourceError(
            f"{verdicts.file.path}: column {values.name!r} has {error}; "
            f"{role} must be text, a number, a date or a time"
        ) from None
    missing = values.is_null()
    if values.dtype == pl.String:
        missing |= values.str.strip_chars() == ""
    if role == "timestamp":
        verdicts.reject(missing, "timestamp is missing")
    told = config.source.timestamp_format
    form = f"timestamp_format {told}" if told else "number or ISO 8601"
    verdicts.reject(parsed.is_null() & ~missing, f"{role} is not a time in 1970 to 9999 ({form})")
    return parsed


def _apply_rules(
    raw: pl.DataFrame, rules: Iterable[RejectRule], file: SourceFile, verdicts: Verdicts
) -> None:
    """Declared [[clean.reject]] rules: a row goes if any of a rule's conditions holds."""
    for rule in rules:
        if rule.table != file.table:
            continue
        place = f"clean.reject {rule.reason!r}"
        if rule.column not in raw.columns:
            hint = did_you_mean(rule.column, raw.columns)
            raise ConfigError(f"{place}: no column {rule.column!r} in {file.path}{hint}")
        values = raw[rule.column]
        if rule.matches is not None:
            try:
                verdicts.reject(as_text(values).str.contains(rule.matches), rule.reason)
            except pl.exceptions.PolarsError as error:
                raise ConfigError(
                    f"{place}: matches = {rule.matches!r}: {_wrong_with_pattern(error)}"
                ) from None
        numbers = as_text(values).str.strip_chars().cast(pl.Float64, strict=False)
        if rule.below is not None:
            verdicts.reject(numbers < rule.below, rule.reason)
        if rule.above is not None:
            verdicts.reject((numbers > rule.above) & ~numbers.is_nan(), rule.reason)


def _wrong_with_pattern(error: pl.exceptions.PolarsError) -> str:
    # The pattern is drawn over several lines; what is wrong with it comes after "error:".
    said = re.search(r"^error: (.+)$", str(error), re.MULTILINE)
    return said[1] if said else first_line(error)


def _attributes(
    raw: pl.DataFrame, config: Config, file: SourceFile, verdicts: Verdicts
) -> pl.Series:
    """A JSON object of the template's extra columns, keys sorted, empty ones included."""
    named = sorted(set(PLACEHOLDER.findall(config.encoder.text_template)) - set(_BUILT_IN))
    for name in named:
        if name not in raw.columns:
            hint = did_you_mean(name, [*raw.columns, *_BUILT_IN])
            raise SourceError(
                f"{file.path}: no column {name!r}, which encoder.text_template names{hint}"
            )
    if not named:
        return _constant(raw, "{}")
    texts = [parse_text(raw[name], name, verdicts).to_list() for name in named]
    objects = [
        json.dumps(dict(zip(named, row, strict=True)), ensure_ascii=False)
        for row in zip(*texts, strict=True)
    ]
    return pl.Series("attributes", objects, dtype=pl.String)


def _constant(raw: pl.DataFrame, value: str | float | datetime) -> pl.Series:
    dtype = UTC_MICROSECONDS if isinstance(value, datetime) else None
    return pl.repeat(value, raw.height, dtype=dtype, eager=True)


def _split(
    raw: pl.DataFrame,
    typed: pl.DataFrame,
    verdicts: Verdicts,
    file: SourceFile,
    ingested_at: datetime,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Typed rows that nothing speaks against; the others as REJECTS with the first reason."""
    reasons = verdicts.first_reasons(raw.height)
    rejected = reasons.is_not_null()
    rows = raw.filter(rejected)
    broken = pl.DataFrame(
        {
            LINE_COLUMN: rows[LINE_COLUMN],
            "reason": reasons.filter(rejected),
            "raw": pl.Series(_as_json(rows.drop(LINE_COLUMN)), dtype=pl.String),
        }
    )
    return typed.filter(~rejected), reject_rows(broken, file=file, ingested_at=ingested_at)


def _as_json(rows: pl.DataFrame) -> list[str]:
    """Each row as a JSON object, cut to RAW_CHARACTERS."""
    plain = [
        # Only integers and truth values stay: JSON has neither NaN nor times.
        column if column.dtype.is_integer() or column.dtype == pl.Boolean else as_text(column)
        for column in rows
    ]
    short = pl.DataFrame(plain).with_columns(pl.col(pl.String).str.slice(0, RAW_CHARACTERS))
    return [
        json.dumps(row, ensure_ascii=False, default=str)[:RAW_CHARACTERS]
        for row in short.iter_rows(named=True)
    ]
