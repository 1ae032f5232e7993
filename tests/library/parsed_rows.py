"""Raw rows of interactions and items, parsed and checked against their contracts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, settings

from pwrank.config import Config
from pwrank.datasets import INTERACTIONS, ITEMS, REJECTS, IdType, IdTypes
from pwrank.landing.parsing import parse_interactions, parse_items
from pwrank.sources import SourceFile

INGESTED = datetime(2026, 1, 1, tzinfo=UTC)
INTERACTIONS_FILE = SourceFile("interactions", Path("/drops/day.csv"), "day.csv")
ITEMS_FILE = SourceFile("items", Path("/drops/items.csv"), "items.csv")
STRINGS = IdTypes()
NUMBERS = IdTypes(IdType.INT64, IdType.INT64)
fuzz = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


def config_of(source: dict[str, Any] | None = None, **sections: Any) -> Config:
    paths = {"interactions": "i.csv", "items": "items.csv"}
    return Config.model_validate({"lake": "lake", "source": paths | (source or {}), **sections})


def raw_of(**columns: Any) -> pl.DataFrame:
    frame = pl.DataFrame(columns, strict=False)
    return frame.with_columns(source_line=pl.int_range(2, frame.height + 2, dtype=pl.Int64))


def interactions(
    ids: IdTypes = STRINGS, config: Config | None = None, **columns: Any
) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = raw_of(**columns)
    typed, rejects = parse_interactions(
        raw, config or config_of(), file=INTERACTIONS_FILE, ids=ids, ingested_at=INGESTED
    )
    INTERACTIONS.check(typed, ids, place="test")
    REJECTS.check(rejects, ids, place="test")
    assert typed.height + rejects.height == raw.height
    return typed, rejects


def items(
    ids: IdTypes = STRINGS, config: Config | None = None, **columns: Any
) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = raw_of(**columns)
    typed, rejects = parse_items(
        raw, config or config_of(), file=ITEMS_FILE, ids=ids, ingested_at=INGESTED
    )
    ITEMS.check(typed, ids, place="test")
    REJECTS.check(rejects, ids, place="test")
    assert typed.height + rejects.height == raw.height
    return typed, rejects
