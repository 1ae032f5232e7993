"""What earlier nights of this lake took: the newest one on which each stage had to work."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import date

from pwrank.config import Config
from pwrank.run import Run
from pwrank.stage_log import StageRecord, read_stage_records

LOADING_TOKENS = 10_000
"""Loading an encoder takes about as long as encoding so many tokens."""


def earlier_records(run: Run) -> dict[str, StageRecord]:
    """Stage -> its record of the newest date, `as_of` at most, on which it computed something."""
    found: dict[str, StageRecord] = {}
    folders = sorted((run.store.control / "stages").glob("as_of=*"))
    for folder in folders:
        day = date.fromisoformat(folder.name.removeprefix("as_of="))
        if day > run.as_of:
            continue
        for record in read_stage_records(run.store, day):
            if not record.reused and record.seconds > 0:
                found[record.stage] = record
    return found


def embed_seconds(record: StageRecord | None, tokens: float) -> float | None:
    """Of encoding so many tokens, loading included."""
    if record is None or not record.figures.get("tokens"):
        return None
    did = float(record.figures["tokens"]) + LOADING_TOKENS
    return record.seconds * (tokens + LOADING_TOKENS) / did


def tokens_per_text(record: StageRecord | None) -> float | None:
    """Of the texts that were encoded then."""
    if record is None or not record.figures.get("tokens"):
        return None
    return float(record.figures["tokens"]) / float(record.figures["texts_encoded"])


def view_seconds(record: StageRecord | None, interactions: int) -> float | None:
    """Of building histories and catalogue for so many interactions."""
    if record is None or not record.rows or "landing_seconds" not in record.figures:
        return None
    views = record.seconds - float(record.figures["landing_seconds"])
    return views * interactions / record.rows


def training_seconds(
    record: StageRecord | None, kind: str, interactions: int
) -> tuple[float, float] | None:
    """Seconds an epoch, and seconds besides, of a training of the same kind."""
    if record is None or record.figures.get("kind") != kind or not record.rows:
        return None
    epoch, epochs = (record.figures.get(name) for name in ("seconds_per_epoch", "epochs_run"))
    if epoch is None or epochs is None:
        return None
    grown = interactions / record.rows
    return epoch * grown, max(0.0, record.seconds - epoch * epochs) * grown


def in_proportion(record: StageRecord | None, rows: float) -> float | None:
    """Seconds for so many rows where a stage takes as long for each."""
    if record is None or not record.rows:
        return None
    return record.seconds * rows / record.rows


def scoring_seconds(record: StageRecord | None, pairs: float) -> float | None:
    """Of so many users times candidates; how long the lists are hardly matters."""
    if record is None or not record.figures.get("pairs"):
        return None
    return record.seconds * pairs / float(record.figures["pairs"])


def best_epochs(record: StageRecord | None, config: Config) -> float | None:
    """Epochs after which the search of an earlier training was best."""
    metrics = record.figures.get("metrics") if record else None
    with contextlib.suppress(KeyError, TypeError):
        if isinstance(metrics, Mapping):
            return min(float(metrics["epochs"]), float(config.train.epochs))
    return None
