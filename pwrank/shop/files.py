"""Write the shop as files: daily drops of interactions and items, and what happened afterwards."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from pwrank.errors import InputError
from pwrank.shop.behaviour import EVENTS, Events, simulate_days
from pwrank.shop.catalogue import Catalogue, draw_catalogue
from pwrank.shop.dirt import KINDS, Row, plan_dirt, robot_rows, soil, stamp
from pwrank.shop.shoppers import Shoppers, draw_shoppers


@dataclass(frozen=True)
class ShopSummary:
    """What was written, and where."""

    interactions: Path
    """Folder with one `YYYY-MM-DD.csv` a day."""
    items: Path
    """Folder with the opening catalogue and a `YYYY-MM-DD.jsonl` for every day with changes."""
    users: Path
    """Every account, those that never did anything included."""
    holdout: Path
    """What happened from `as_of` on; clean, same columns as a drop."""
    as_of: date
    """Exclusive cut at 00:00 UTC: the last drop is of the day before."""
    num_rows: int
    """All interaction rows in the drops, dirty ones included."""
    num_dirty_rows: dict[str, int]
    """Kind -> rows, for every kind in `pwrank.shop.dirt.KINDS`."""
    num_users: int
    """Users with a clean row in the drops."""
    num_items: int
    """Items in the catalogue, withdrawn ones included."""
    num_holdout_rows: int
    num_holdout_users: int


@dataclass(frozen=True)
class _Drops:
    """File contents by date, and the counts the summary needs."""

    interactions: dict[date, list[Row]]
    holdout: list[Row]
    num_dirty_rows: dict[str, int]
    num_users: int


def write_shop(
    folder: Path,
    *,
    seed: int = 7,
    users: int = 3000,
    items: int = 2000,
    days: int = 120,
    holdout_days: int = 7,
    last_date: date = date(2026, 6, 30),
) -> ShopSummary:
    """Write a generated shop under `folder`; the same arguments write the same bytes.

    `days` drops end the day before `last_date`; `holdout.csv` goes on from there for
    `holdout_days` (the same process, clean, no launches). Raises InputError if a number is below
    1, or if the folder holds drops of other days, which would mix with these.
    """
    for name, value in (("users", users), ("items", items), ("days", days)):
        if value < 1:
            raise InputError(f"shop: {name} is {value}; it must be at least 1")
    if holdout_days < 0:
        raise InputError(f"shop: holdout_days is {holdout_days}; it must be at least 0")
    first_date = last_date - timedelta(days=days)
    catalogue = draw_catalogue(items, days=days, rng=_stream(seed, 1))
    shoppers = draw_shoppers(users, days=days, rng=_stream(seed, 2))
    happened = _happened(catalogue, shoppers, first_date, days + holdout_days, _stream(seed, 3))
    drops = _fill_drops(happened, catalogue, first_date, last_date, _stream(seed, 4))
    changes = _catalogue_changes(catalogue, first_date, days)
    _write_files(folder, drops, changes, shoppers.user_ids)
    return ShopSummary(
        interactions=folder / "interactions",
        items=folder / "items",
        users=folder / "users.csv",
        holdout=folder / "holdout.csv",
        as_of=last_date,
        num_rows=sum(len(rows) for rows in drops.interactions.values()),
        num_dirty_rows=drops.num_dirty_rows,
        num_users=drops.num_users,
        num_items=items,
        num_holdout_rows=len(drops.holdout),
        num_holdout_users=len({row.user_id for row in drops.holdout}),
    )


def _stream(seed: int, part: int) -> np.random.Generator:
    """Make a generator per part, so that a change in one part leaves the others alone."""
    return np.random.default_rng([seed, part])


def _happened(
    catalogue: Catalogue,
    shoppers: Shoppers,
    first_date: date,
    num_days: int,
    rng: np.random.Generator,
) -> list[list[Row]]:
    """Simulate; returns the clean rows of each day."""
    weekday = first_date.weekday()
    days = simulate_days(catalogue, shoppers, num_days=num_days, first_weekday=weekday, rng=rng)
    return [
        _rows(events, catalogue, shoppers, first_date + timedelta(days=day))
        for day, events in enumerate(days)
    ]


def _rows(events: Events, catalogue: Catalogue, shoppers: Shoppers, day: date) -> list[Row]:
    """Write the events of a day as text."""
    columns = (events.users, events.items, events.kinds, events.seconds, events.ratings)
    return [
        Row(
            user_id=shoppers.user_ids[user],
            item_id=catalogue.item_ids[item],
            event=EVENTS[kind],
            timestamp=stamp(day, second),
            rating=str(rating or ""),
        )
        for user, item, kind, second, rating in zip(*(c.tolist() for c in columns), strict=True)
    ]


def _fill_drops(
    happened: list[list[Row]],
    catalogue: Catalogue,
    first_date: date,
    as_of: date,
    rng: np.random.Generator,
) -> _Drops:
    """Cut what happened at `as_of`, and soil what lies before."""
    days = (as_of - first_date).days
    plan = plan_dirt(days, rng)
    interactions: dict[date, list[Row]] = {}
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    for day, clean in enumerate(happened[:days]):
        today = first_date + timedelta(days=day)
        kinds = plan.kinds_by_day[day][: len(clean)]
        rows = soil(clean, kinds, as_of, rng)
        counts.update(kinds)
        if day in plan.robot_days:
            on_sale = (catalogue.launched_on <= day) & (day < catalogue.withdrawn_on)
            item_ids = [catalogue.item_ids[item] for item in np.flatnonzero(on_sale)]
            robot = robot_rows(today, item_ids, rng)
            rows = robot + rows
            counts["robot"] += len(robot)
        interactions[today] = rows
    users = {row.user_id for rows in happened[:days] for row in rows}
    holdout = [row for rows in happened[days:] for row in rows]
    return _Drops(interactions, holdout, dict(counts), len(users))


def _catalogue_changes(
    catalogue: Catalogue, first_date: date, days: int
) -> dict[date, list[dict[str, Any]]]:
    """Item records by the date of the file they stand in; the first file is the opening."""
    changes: dict[date, list[dict[str, Any]]] = {first_date: []}
    for day in range(days):
        today = first_date + timedelta(days=day)
        for item in range(len(catalogue.item_ids)):
            launched = int(catalogue.launched_on[item])
            changed = day in (catalogue.withdrawn_on[item], catalogue.rewritten_on[item])
            if changed or launched == day or (day == 0 and launched < 0):
                updated = first_date + timedelta(days=min(launched, 0)) if day == 0 else today
                changes.setdefault(today, []).append(_record(catalogue, item, day, updated))
    return changes


def _record(catalogue: Catalogue, item: int, day: int, updated: date) -> dict[str, Any]:
    """One item as it stands on `day`."""
    rewritten = day >= catalogue.rewritten_on[item]
    return {
        "item_id": catalogue.item_ids[item],
        "title": catalogue.titles[item],
        "text": catalogue.new_texts[item] if rewritten else catalogue.texts[item],
        "category": catalogue.categories[item],
        "price": round(float(catalogue.prices[item]), 2),
        "available": bool(day < catalogue.withdrawn_on[item]),
        "updated_at": f"{updated.isoformat()}T00:00:00Z",
    }


def _write_files(
    folder: Path,
    drops: _Drops,
    changes: dict[date, list[dict[str, Any]]],
    user_ids: Iterable[str],
) -> None:
    """Write everything; refuse a folder that already holds other drops."""
    contents = {Path("holdout.csv"): _csv(drops.holdout)}
    contents[Path("users.csv")] = "".join(f"{name}\n" for name in ("user_id", *user_ids))
    for day, rows in drops.interactions.items():
        contents[Path("interactions") / f"{day}.csv"] = _csv(rows)
    for day, records in changes.items():
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        contents[Path("items") / f"{day}.jsonl"] = "".join(lines)
    for name in ("interactions", "items"):
        for path in sorted((folder / name).glob("*")):
            if path.relative_to(folder) not in contents:
                raise InputError(f"{path} is not of this shop; name a folder without other drops")
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path, text in contents.items():
        (folder / path).write_text(text, encoding="utf-8", newline="")


def _csv(rows: Iterable[Row]) -> str:
    """Write a CSV file: a header, line feeds, quotes where needed."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return buffer.getvalue()
