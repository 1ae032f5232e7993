"""Train: when due, a new ranker from all that the date may know; else the newest one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from pwrank.config import Config
from pwrank.config_file import section_hash
from pwrank.datasets import DatasetRef
from pwrank.errors import first_line, is_transient
from pwrank.horizon import SEEN_UNTIL, horizon_of
from pwrank.published_refs import DEGRADED
from pwrank.ranker.fitting import fit_ranker
from pwrank.ranker.model_card import DUE, REFUSED, write_model_card
from pwrank.ranker.model_inputs import (
    Reading,
    history_paths,
    new_reading,
    read_catalogue,
    read_histories,
)
from pwrank.ranker.validation import Champion
from pwrank.ranker.weights import read_ranker, save_ranker
from pwrank.remembered import read_earlier
from pwrank.run import Run, code_version, cut_of
from pwrank.signatures import SIGNED, sign
from pwrank.store import Progress, Store, fingerprint

TRAIN_VERSION = 23
"""Raise when the same inputs would give another ranker, or the weights' format changes."""

PASSED_OVER = "passed_over"
"""Figure of the model that a night uses: which newer ones it does not, and why."""


def newest_model(store: Store, as_of: date, kind: str) -> DatasetRef | None:
    """The newest model of a kind trained as of `as_of` or before: never one of the future.

    Nor one that the gates refused: it would be refused every night until the next is due.
    """
    accepted = (ref for ref in _models(store, as_of, kind) if REFUSED not in ref.figures)
    return max(accepted, key=_age_and_key, default=None)


def passed_over(store: Store, as_of: date, kind: str, *, newest: DatasetRef | None) -> str:
    """Which models the gates refused since the newest one that they did not, and why."""
    refused = [
        f"the model of {ref.as_of} is passed over: {ref.figures[REFUSED]}"
        for ref in sorted(_models(store, as_of, kind), key=_age_and_key)
        if REFUSED in ref.figures and (newest is None or _age_and_key(ref) > _age_and_key(newest))
    ]
    return "; ".join(refused)


def _age_and_key(ref: DatasetRef) -> tuple[date, str]:
    return ref.as_of or date.min, ref.key


def _models(store: Store, as_of: date, kind: str) -> list[DatasetRef]:
    """Models of a kind whose files are there, trained as of `as_of` or before."""
    return [
        ref
        for ref in store.refs("models")
        if ref.as_of is not None
        and ref.as_of <= as_of
        and ref.figures.get("kind") == kind
        and DUE not in ref.figures
        and all(path.exists() for path in ref.file_paths(store.lake))
    ]


def model_kind(config: Config, encoder: str) -> str:
    """Models of one kind can stand in for each other: same encoder (key), same training section."""
    train = config.train.model_dump(mode="json", exclude={"every_days", "warm_start"})
    train["repeats"] = not config.score.exclude_seen
    return fingerprint(TRAIN_VERSION, encoder, train)


def model_key(run: Run, kind: str, *inputs: DatasetRef) -> str:
    """Name of the model that histories, catalogue and embeddings give."""
    return fingerprint("models", kind, [ref.key for ref in inputs], run.cut, run.config.seed)


def why_due(newest: DatasetRef | None, run: Run, *, force: bool) -> str | None:
    """Why a ranker must be trained, in words; None where the newest of its kind will do."""
    if newest is None or newest.as_of is None:
        return "no model of this encoder and [train] section yet"
    age = (run.as_of - newest.as_of).days
    if age >= run.config.train.every_days:
        return f"the newest model is {age} days old, every_days = {run.config.train.every_days}"
    return "asked for" if force else None


def train(
    run: Run,
    *,
    histories: DatasetRef,
    catalogue: DatasetRef,
    embeddings: DatasetRef,
    force: bool = False,
    progress: Progress | None = None,
) -> DatasetRef:
    """Name the ranker for this date, trained now if it is due or `force`d.

    A training that was killed goes on from its last epoch. Where one that is due fails, the last
    good ranker stands in. One that the gates refused is no good ranker; the ref says so.
    """
    store, config = run.store, run.config
    kind = model_kind(config, embeddings.figures["encoder"])
    key = model_key(run, kind, histories, catalogue, embeddings)
    # First the one of these very inputs: a date repeated as it was known has the ranker it had.
    if found := store.reuse("models", run.as_of, key):
        return found
    if not force and (had := _model_of_record(run, kind)):
        return had
    newest = newest_model(store, run.as_of, kind)
    refused = passed_over(store, run.as_of, kind, newest=newest)
    note = {PASSED_OVER: refused} if refused else {}
    if newest and why_due(newest, run, force=force) is None:
        return replace(newest, figures={**newest.figures, **note})
    inputs = (histories, catalogue, embeddings)
    try:
        trained = _train(run, kind, key, inputs, newest=newest, progress=progress)
        return replace(trained, figures={**trained.figures, **note})
    except Exception as error:
        # What a second try may heal is tried again; what was asked for must not fail in silence.
        if newest is None or force or is_transient(error):
            raise
        told = f"the last good model, of {newest.as_of}; a new one could not be trained"
        note[DEGRADED] = f"{told}: {first_line(error)}"
        return replace(newest, figures={**newest.figures, **note})


def _train(
    run: Run,
    kind: str,
    key: str,
    inputs: tuple[DatasetRef, DatasetRef, DatasetRef],
    *,
    newest: DatasetRef | None,
    progress: Progress | None,
) -> DatasetRef:
    """Train and commit. inputs: histories, catalogue, embeddings."""
    store, config = run.store, run.config
    histories, catalogue, embeddings = inputs
    folder = store.folder("models", run.as_of, key)
    paths = history_paths(store, histories)
    reading = new_reading(config.train, paths)
    items = read_catalogue(store, catalogue, embeddings)
    log = read_histories(paths, items.item_ids, reading).histories
    champion = _champion(run, newest)

    def tell(_phase: str, _done: int, _planned: int, _figures: dict[str, float]) -> None:
        if progress:
            progress(1)

    ranker, metrics = fit_ranker(
        log,
        items,
        cut=int(run.cut.timestamp()),
        config=config.train,
        seed=config.seed,
        repeats=not config.score.exclude_seen,
        checkpoint=folder / "checkpoint",
        progress=tell,
        warm_start=champion.ranker if champion and config.train.warm_start else None,
        champion=champion,
        device=_device(),
    )
    if reading.by_order or not histories.figures["latest_occurred_at"]:
        del metrics["held_out_days"]  # so many interactions were held out, of no length in time
    files = [path.name for path in save_ranker(ranker, folder)]
    figures = _figures(run, kind, histories, metrics, reading=reading, folder=folder, files=files)
    figures[SEEN_UNTIL] = horizon_of(run.cut, histories, catalogue, embeddings)
    figures["encoder"] = embeddings.figures["encoder"]
    figures["champion"] = newest.key if newest else None
    figures["warm_start"] = figures["champion"] if config.train.warm_start else None
    write_model_card(folder / "README.md", run, figures)
    return store.commit(
        "models",
        run.as_of,
        key,
        files=[*files, "README.md"],
        rows=log.num_interactions,
        figures=figures,
    )


def _model_of_record(run: Run, kind: str) -> DatasetRef | None:
    """The ranker that the date was published with, where it is repeated as it was known then.

    A ranker trained for an earlier date in the meantime, by a backfill, does not change the past.
    One that only stood in for a training that failed is no such record: it is tried again.
    """
    record = read_earlier(run.store, run.as_of)
    if record is None or record["known_at"] != run.known_at.isoformat():
        return None
    if "model" in record.get("degraded", {}):
        return None
    told = record["inputs"]["model"]
    ref = run.store.reuse("models", date.fromisoformat(told["as_of"]), told["key"])
    usable = ref is not None and ref.figures["kind"] == kind and DUE not in ref.figures
    return ref if usable else None


def _champion(run: Run, newest: DatasetRef | None) -> Champion | None:
    if newest is None or newest.as_of is None:
        return None
    trained_until = int(cut_of(newest.as_of, run.config.time_zone).timestamp())
    return Champion(read_ranker(run.store.lake, newest), trained_until)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _figures(
    run: Run,
    kind: str,
    histories: DatasetRef,
    metrics: dict[str, float],
    *,
    reading: Reading,
    folder: Path,
    files: list[str],
) -> dict[str, Any]:
    hashes = sign(folder, files)
    return {
        "kind": kind,
        "model_version": f"{run.as_of}-{fingerprint(hashes)[:8]}",
        "events": list(reading.events),
        "by_order": reading.by_order,
        "metrics": metrics,
        "data_until": histories.figures["latest_occurred_at"],
        "config_hash": section_hash(run.config.train),
        "code_version": code_version(),
        SIGNED: hashes,
    }
