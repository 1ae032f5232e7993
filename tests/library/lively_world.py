"""A world large enough for gates to judge: ninety users of two tastes, a drop a day."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.library.tiny_models import WORDS
from tests.library.tiny_world import CATEGORIES, World

PEOPLE = [f"p{number:02d}" for number in range(90)]
ITEMS = 120
START = date(2024, 4, 1)
KNOWN_DAYS = 9
TONIGHT = START + timedelta(days=KNOWN_DAYS)
"""The first date that is published; the drop of this day is written by the tests."""
TOMORROW = TONIGHT + timedelta(days=1)
FIRST_NOW = datetime(2024, 4, 10, 1, tzinfo=UTC)
NEXT_NOW = datetime(2024, 4, 11, 1, tzinfo=UTC)
SETTINGS: dict[str, dict[str, Any]] = {
    "score": {"k": 10, "candidates": 30, "shards": 2},
    "train": {
        "epochs": 3,
        "pair_epochs": 4,
        "pair_learning_rate": 1e-2,
        "retrieval_epochs": 4,
    },
    "gates": {"sample_texts": 8},
}


def lively_items(count=ITEMS) -> list[dict[str, Any]]:
    """Items `000`, `001`, … whose texts tell the two tastes apart."""
    rng = random.Random(5)  # noqa: S311 - not for secrets
    half = len(WORDS) // 2
    return [
        {
            "item_id": f"{number:03d}",
            "title": " ".join(rng.choices(WORDS[number % 2 * half :][:half], k=3)),
            "text": " ".join(rng.choices(WORDS[number % 2 * half :][:half], k=6)),
            "category": CATEGORIES[number % 3],
            "available": True,
        }
        for number in range(count)
    ]


def lively_interactions(day: date, rows=160) -> list[tuple[Any, ...]]:
    """Interactions of one day: even people like even items, the low numbers more."""
    rng = random.Random(day.toordinal())  # noqa: S311 - not for secrets
    found = []
    for _ in range(rows):
        person = rng.randrange(len(PEOPLE))
        item = int(rng.expovariate(1 / 12)) * 2 + person % 2
        when = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
            seconds=rng.randrange(86_400)
        )
        row = (PEOPLE[person], f"{item % ITEMS:03d}", when.isoformat())
        found.append((*row, rng.randint(1, 5), "view"))
    return found


def make_lively_world(folder: Path, model: Path) -> World:
    """Nine daily drops, items and a configuration."""
    world = World(folder, model, settings=SETTINGS)
    for number in range(KNOWN_DAYS):
        day = START + timedelta(days=number)
        world.write_drop(f"{day}.csv", lively_interactions(day))
    world.write_items(lively_items())
    world.configure()
    return world
