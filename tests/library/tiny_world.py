"""A few users, items and days with a tiny encoder, and the whole night by the library alone."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.config_file import load_config
from pwrank.datasets import DatasetRef
from pwrank.embed import embed
from pwrank.evaluate import evaluate
from pwrank.index import index
from pwrank.ingest import Ingested, ingest
from pwrank.publish import Published, publish
from pwrank.published_refs import NightRefs
from pwrank.run import Run, open_run
from pwrank.score import commit_staged, score_shard
from pwrank.signatures import SIGNED
from pwrank.store import Store
from pwrank.train import train
from tests.library.tiny_models import WORDS

AS_OF = date(2024, 3, 8)
"""Seven days of drops lie before it, one after."""
NOW = datetime(2024, 3, 20, tzinfo=UTC)
FIRST_DAY = date(2024, 3, 1)
DAYS = 8
USERS = [f"u{number:02d}" for number in range(16)]
CATEGORIES = ["Home > Kitchen", "Home > Garden", "Books"]
SHORT = {
    "dim": 16,
    "epochs": 2,
    "pair_epochs": 2,
    "pair_learning_rate": 1e-2,
    "retrieval_epochs": 2,
    "prior_steps": 5,
}
"""A training that is over in no time; what it learns is the business of other tests."""
COLUMNS = ("user_id", "item_id", "timestamp", "rating", "event")


@dataclass
class World:
    """Sources, configuration and lake below one folder."""

    folder: Path
    model: Path
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def drops(self) -> Path:
        return self.folder / "drops"

    @property
    def config_file(self) -> Path:
        return self.folder / "pwrank.toml"

    @property
    def store(self) -> Store:
        return Store(self.folder / "lake")

    def write_drop(self, name: str, rows, columns=COLUMNS) -> Path:
        """rows: tuples in the order of `columns`."""
        self.drops.mkdir(exist_ok=True, parents=True)
        path = self.drops / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])
        return path

    def write_items(self, rows, name="items.jsonl") -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    def configure(self, **sections) -> Config:
        """Write the TOML file with these sections on top of the world's, and read it."""
        merged: dict[str, Any] = {
            "source": {"interactions": "drops", "items": "items.jsonl"},
            "encoder": {"model": str(self.model), "device": "cpu"},
            "train": SHORT,
            "score": {"k": 5, "candidates": 12, "shards": 3},
            "runtime": {"threads": 1},
        }
        for told in (self.settings, sections):
            for name, values in told.items():
                if isinstance(values, dict):
                    merged[name] = merged.get(name, {}) | values
                else:
                    merged[name] = values
        self.config_file.write_text(_toml({"lake": "lake"} | merged), encoding="utf-8")
        return load_config(self.config_file)

    def run(self, as_of=AS_OF, now=NOW, known_at=None, overrides=None, **sections) -> Run:
        config = self.configure(**sections)
        return open_run(config, as_of, now=now, known_at=known_at, overrides=overrides)

    def ingest(self, **arguments) -> Ingested:
        return ingest(self.run(**arguments))


@dataclass(frozen=True)
class Night:
    """Everything that one run made up to the staged lists."""

    run: Run
    known: Ingested
    refs: NightRefs
    staged: DatasetRef

    @property
    def rankings(self) -> pl.DataFrame:
        return pl.read_parquet(self.staged.file_paths(self.run.store.lake))

    def publish(self) -> Published:
        metrics = self.evaluate()
        return publish(self.run, staged=self.staged, night=self.refs, metrics=metrics)

    def evaluate(self) -> DatasetRef:
        run, refs = self.run, self.refs
        return evaluate(
            run.store,
            run.config,
            staged=self.staged,
            histories=refs.histories,
            catalogue=refs.catalogue,
            model=refs.model,
            embeddings=refs.embeddings,
            as_of=run.as_of,
        )


def unsigned(staged: DatasetRef) -> DatasetRef:
    """Staged lists without their hashes, for tests that spoil what was scored."""
    figures = {name: told for name, told in staged.figures.items() if name != SIGNED}
    return replace(staged, figures=figures)


def stage_night(run: Run) -> Night:
    """All stages but publish."""
    known = ingest(run)
    store, histories, catalogue = run.store, known.histories, known.catalogue
    embeddings = embed(store, catalogue, run.config, as_of=run.as_of)
    shared = {"histories": histories, "catalogue": catalogue, "embeddings": embeddings}
    model = train(run, **shared)
    refs = NightRefs(**shared, model=model, index=index(run, **shared, model=model))
    for shard in range(run.config.score.shards):
        score_shard(run, refs, shard=shard)
    return Night(run, known, refs, commit_staged(run, refs))


def some_items(count=20) -> list[dict[str, Any]]:
    """Items `000`, `001`, … with texts of the tiny encoder's words."""
    rng = random.Random(3)  # noqa: S311 - not for secrets
    return [
        {
            "item_id": f"{number:03d}",
            "title": " ".join(rng.choices(WORDS, k=3)),
            "text": " ".join(rng.choices(WORDS, k=6)),
            "category": CATEGORIES[number % 3],
            "available": number != count - 1,
        }
        for number in range(count)
    ]


def some_interactions(day: date, items=20, users=USERS) -> list[tuple[Any, ...]]:
    """Five interactions on one day; users of even number like even items."""
    rng = random.Random(day.toordinal())  # noqa: S311 - not for secrets
    rows = []
    for _ in range(12):
        user = rng.randrange(len(users))
        item = rng.randrange(items // 2) * 2 + user % 2
        when = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
            seconds=rng.randrange(86_400)
        )
        rows.append((users[user], f"{item:03d}", when.isoformat(), rng.randint(1, 5), "view"))
    return rows


def make_world(folder: Path, model: Path, days=DAYS) -> World:
    """Daily drops, items and a configuration."""
    world = World(folder, model)
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        world.write_drop(f"{day}.csv", some_interactions(day))
    world.write_items(some_items())
    world.configure()
    return world


def _toml(content: dict[str, Any]) -> str:
    scalars = {k: v for k, v in content.items() if not isinstance(v, dict)}
    lines = [f"{name} = {_value(value)}" for name, value in scalars.items()]
    for section, values in content.items():
        if isinstance(values, dict):
            lines.append(f"[{section}]")
            lines += [f"{name} = {_value(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
