"""A first night and a quiet one: ingest, embed and index with one hundredth of everything new.

    python tests/benchmarks/bench_ingest.py [--json] [--interactions 1000000] [--items 20000]
    python tests/benchmarks/bench_ingest.py --items 5000 20000 80000 --words 90

The world is generated: daily drops, then one more drop with 1 % more interactions, and an items
file with 1 % new or changed items. Titles of five words; with `--words`, descriptions of about so
many behind them. The ranker is untrained: what it says does not matter here.
Seconds are told on the wall and of the processor, since other work may go on beside.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from pwrank.datasets import DatasetRef
    from pwrank.ingest import Ingested
    from pwrank.run import Run

DAYS = 99
FIRST = date(2026, 1, 1)
LAST = FIRST + timedelta(days=DAYS)
"""As-of date of the first night; the quiet one is a day later."""
WORDS = ("red", "blue", "old", "new", "lamp", "chair", "table", "clock", "mirror", "basket")
GOAL = 0.05


class World:
    """Drops in a folder."""

    def __init__(self, folder: Path, interactions: int, items: int, users: int, words: int) -> None:
        self.folder, self.items, self.users, self.words = folder, items, users, words
        self.a_day = interactions // DAYS
        self.rng = np.random.default_rng(0)
        (folder / "interactions").mkdir(parents=True)
        (folder / "items").mkdir()
        for day in range(DAYS):
            self.write_day(FIRST + timedelta(days=day))
        self.write_items("items-000.csv", np.arange(items), FIRST)

    def write_day(self, day: date) -> None:
        """One drop; items by a power law."""
        since = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        item = (self.items * self.rng.random(self.a_day) ** 3).astype(np.int64)
        frame = pl.DataFrame(
            {
                "user_id": self.rng.integers(0, self.users, self.a_day),
                "item_id": item,
                "timestamp": since + np.sort(self.rng.integers(0, 86_400, self.a_day)),
            }
        )
        frame.write_csv(self.folder / "interactions" / f"{day}.csv")

    def write_items(self, name: str, numbers: np.ndarray, day: date) -> None:
        """Rows of these items, with texts that nobody else has."""
        drawn = self.rng.choice(WORDS, (len(numbers), 3))
        titles = [f"{' '.join(row)} {n} {day}" for n, row in zip(numbers, drawn, strict=True)]
        lengths = self.rng.integers(self.words * 2 // 3, self.words * 4 // 3 + 1, len(numbers))
        texts = [" ".join(self.rng.choice(WORDS, length)) for length in lengths]
        columns = {"item_id": numbers, "title": titles, "text": texts, "updated_at": str(day)}
        frame = pl.DataFrame(columns)
        frame.write_csv(self.folder / "items" / name)

    def one_more_day(self) -> None:
        """1 % more interactions; of the items half a per cent is new and as many are changed."""
        self.write_day(LAST)
        few = max(1, self.items // 200)
        changed = self.rng.choice(self.items, few, replace=False)
        numbers = np.concatenate([changed, np.arange(self.items, self.items + few)])
        self.write_items("items-001.csv", numbers, LAST)


def open_world(folder: Path, as_of: date) -> Run:
    """A run of one date in the lake beside the drops."""
    from pwrank.config import Config
    from pwrank.run import open_run

    source = {"interactions": folder / "interactions", "items": folder / "items"}
    config = Config.model_validate({"lake": folder / "lake", "source": source})
    return open_run(config, as_of, now=datetime(2026, 6, 1, tzinfo=UTC) + (as_of - LAST))


def untrained(run: Run, known: Ingested, embeddings: DatasetRef) -> DatasetRef:
    """A ranker that learned nothing, committed as if it were trained."""
    from pwrank.ranker.fitting import build_ranker
    from pwrank.ranker.model_inputs import (
        Reading,
        history_paths,
        read_catalogue,
        read_histories,
    )
    from pwrank.ranker.weights import save_ranker
    from pwrank.signatures import SIGNED, sign

    items = read_catalogue(run.store, known.catalogue, embeddings)
    paths = history_paths(run.store, known.histories)[:1]
    log = read_histories(paths, items.item_ids, Reading(("interaction",))).histories
    ranker = build_ranker(log, items, run.config.train, 0)
    folder = run.store.folder("models", run.as_of, "untrained")
    files = [path.name for path in save_ranker(ranker, folder)]
    figures = {
        "events": ["interaction"],
        "by_order": False,
        "kind": "",
        "model_version": "untrained",
    }
    return run.store.commit(
        "models",
        run.as_of,
        "untrained",
        files=files,
        rows=0,
        figures={**figures, SIGNED: sign(folder, files)},
    )


def timed(work: Callable[[], Any], figures: dict[str, float], name: str) -> Any:
    """The result; wall and processor seconds go to `figures`."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    figures[f"{name}_s"] = time.perf_counter() - wall
    figures[f"{name}_processor_s"] = time.process_time() - processor
    return result


def night(
    folder: Path, as_of: date, model: DatasetRef | None
) -> tuple[dict[str, float], DatasetRef]:
    """Ingest, embed and index of one date; figures of what was done and what it took."""
    from flows.environment import prepare_environment

    prepare_environment()
    from pwrank.embed import embed
    from pwrank.index import index
    from pwrank.ingest import ingest

    run = open_world(folder, as_of)
    figures: dict[str, float] = {}
    known = timed(lambda: ingest(run), figures, "ingest")
    vectors = timed(
        lambda: embed(run.store, known.catalogue, run.config, as_of=run.as_of), figures, "embed"
    )
    model = model or untrained(run, known, vectors)
    inputs = {"histories": known.histories, "catalogue": known.catalogue, "embeddings": vectors}
    timed(lambda: index(run, **inputs, model=model), figures, "index")
    figures["rows_landed"] = sum(table["rows_landed"] for table in known.landed.values())
    figures["texts_encoded"] = vectors.figures["texts_encoded"]
    return figures, model


def in_a_process(
    folder: Path, as_of: date, model: DatasetRef | None
) -> tuple[dict[str, float], DatasetRef]:
    """A night in a process of its own, as nights are: each loads the encoder again."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(night, folder, as_of, model).result()


def two_nights(items: int, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of a first night and a quiet one, and what share of the first the quiet one took."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("PWRANK_BENCH")) as name:
        folder = Path(name)
        world = World(folder, options.interactions, items, options.users, options.words)
        first, model = in_a_process(folder, LAST, None)
        world.one_more_day()
        quiet, _ = in_a_process(folder, LAST + timedelta(days=1), model)
    told = {"items": items, "words": options.words, "first": first, "quiet": quiet}
    ratios = {"ratio": "_s", "ratio_processor": "_processor_s"}
    return told | {name: share(quiet, first, suffix) for name, suffix in ratios.items()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, nargs="+", default=[20_000], help="one or more sizes")
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--words", type=int, default=0, help="of a description, on average")
    options = parser.parse_args()
    out = sys.stderr if options.json else sys.stdout
    results = []
    for items in options.items:
        result = two_nights(items, options)
        results.append(result)
        for kind in ("first", "quiet"):
            print(kind, {name: round(value, 2) for name, value in result[kind].items()}, file=out)
        print(
            f"{items:,} items, descriptions of {options.words} words: a quiet night takes "
            f"{result['ratio']:.1%} of the first on the wall, "
            f"{result['ratio_processor']:.1%} of its processor time (goal: {GOAL:.0%})",
            file=out,
        )
    print(reached(results), file=out)
    if options.json:
        json.dump({"sizes": results}, sys.stdout, indent=1)


def reached(results: list[dict[str, Any]]) -> str:
    """From which of the sizes on the goal holds, on the wall."""
    missed = [result["items"] for result in results if result["ratio"] > GOAL]
    held = [result["items"] for result in results if result["items"] > max(missed, default=0)]
    return f"the goal holds from {min(held):,} items on" if held else "the goal holds at no size"


def share(quiet: dict[str, float], first: dict[str, float], suffix: str) -> float:
    """Of the three stages together."""
    stages = [f"{stage}{suffix}" for stage in ("ingest", "embed", "index")]
    return sum(quiet[name] for name in stages) / sum(first[name] for name in stages)


if __name__ == "__main__":
    main()
