"""Gates on the drops that came since the last published night, and the drift report of each column.

What is usual is told by the drops which that night had seen. A drop is broken if a column that
was filled is empty, if nine tenths of the rows are missing, or if nobody has ever seen its ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from pwrank.config import DriftConfig
from pwrank.gates.drop_profiles import compare_column, pooled, profile_drop
from pwrank.gates.missing_days import missing_days, missing_told
from pwrank.gates.new_drops import Arrivals
from pwrank.gates.verdicts import DROP_GATES, Verdict
from pwrank.landing.drops import Drop
from pwrank.store import Store

EMPTY = 0.95
"""Share from which on a column is as good as empty."""

FULL = 0.5
"""Share of filled rows from which on a column is usually filled."""

FEWEST_NIGHTS = 5
"""Nights from which on something is usual."""

FEWEST_REJECTS, MANY_REJECTS = 20, 0.05
"""Rejected rows from which on, and their share, rejects are worth a word."""

FEW = 0.5
"""Share of the least usual day's rows below which a day is worth a word."""

NOT_SEEN_USUALLY = 0.5
"""Share of unseen ids on a usual night from which on only unseen ids are no surprise."""


def drift_of(
    store: Store, arrived: Arrivals, config: DriftConfig, asked_for: frozenset[str]
) -> dict[str, Any]:
    """The drift report of a table: rows, a line for each column, and what is odd but no damage."""
    if not arrived.tonight:
        notice = _missing_days(arrived)
        return {"drops": [], "rows": 0, "usual_rows": None, "notice": notice, "columns": {}}
    now = pooled([profile_drop(store, drop) for drop in arrived.tonight])
    usual = pooled([profile_drop(store, drop) for drop in arrived.described])
    by_day = [arrived.rows_of_day[day] for day in arrived.usual_days]
    words = (
        _few_rows(arrived, config),
        _missing_days(arrived),
        _many_rejected(arrived, asked_for),
    )
    return {
        "drops": [drop.source_file for drop in arrived.tonight],
        "rows": now["rows"],
        "usual_rows": float(np.median(by_day)) if by_day else None,
        "notice": "\n".join(word for word in words if word),
        "columns": {
            name: compare_column(column, usual["columns"].get(name))
            for name, column in now["columns"].items()
        },
    }


def judge_drops(
    store: Store,
    arrived: Arrivals,
    report: Mapping[str, Any],
    config: DriftConfig,
    *,
    known_items: pl.Series,
    asked_for: frozenset[str],
) -> list[Verdict]:
    """The gates of one table; none where there are too few drops or rows to tell.

    known_items: ids of the catalogue as the last published night knew it; asked_for: reasons of
    rejects that are no damage.
    """
    found = [_unusable(arrived, config, asked_for), _rows_replaced(arrived, config)]
    if not arrived.tonight:
        return [verdict for verdict in found if verdict]
    enough = len(arrived.usual_days) >= FEWEST_NIGHTS
    if arrived.usual and report["rows"] >= config.min_rows:
        found.append(_columns(arrived, report))
    if arrived.table == "interactions" and enough:
        found.append(_rows(arrived, report, config))
        if report["rows"] >= config.min_rows:
            found += [
                _unseen_ids(store, arrived, "item_id", config, known=known_items),
                _unseen_ids(store, arrived, "user_id", config, known=None),
            ]
    return [verdict for verdict in found if verdict]


def _rows(arrived: Arrivals, report: Mapping[str, Any], config: DriftConfig) -> Verdict | None:
    """Rows of each day that tonight's drops speak of, those of earlier drops included.

    A day that was there, in the same bytes, and is read by other rules, is compared with itself.
    """
    usual = float(report["usual_rows"])
    fewest = arrived.smallest_new_day
    if fewest is None:
        return None
    rows = arrived.rows_of_day[fewest]
    files = [drop.source_file for drop in arrived.new if arrived.days[drop.id] == fewest]
    return Verdict(
        "drop rows",
        usual < config.min_rows or rows >= config.min_row_share * usual,
        f"{rows:,} usable rows for {fewest}, usually {usual:,.0f}",
        f"at least {config.min_row_share} of the usual",
        f"{arrived.table}: {', '.join(files[:3])}",
    )


def _many_rejected(arrived: Arrivals, asked_for: frozenset[str]) -> str:
    """A word on far more rejects than usual; refused above `[clean] max_bad_share` only."""
    now = sum((_damage(drop, asked_for) for drop in arrived.new), Counter[str]())
    usual = sum(_damage(drop, asked_for).total() for drop in arrived.usual)
    rows, usual_rows = (sum(d.rows_in for d in drops) for drops in (arrived.new, arrived.usual))
    share, usually = now.total() / max(rows, 1), usual / max(usual_rows, 1)
    if now.total() < FEWEST_REJECTS or share < max(MANY_REJECTS, 2 * usually):
        return ""
    ((reason, count),) = now.most_common(1)
    return (
        f"many rejects: {now.total():,} of {rows:,} new rows of {arrived.table} ({share:.0%}, "
        f"usually {usually:.0%}), {count:,} of them because “{reason}”"
    )


def _damage(drop: Drop, asked_for: frozenset[str]) -> Counter[str]:
    """Rejected rows by reason, but for those that were asked for."""
    return Counter({why: rows for why, rows in drop.rejected.items() if why not in asked_for})


def _missing_days(arrived: Arrivals) -> str:
    """A word on days of which no drop speaks; refused is nothing: a shop may have been closed."""
    usual = arrived.usual_days
    if arrived.table != "interactions" or len(usual) < FEWEST_NIGHTS:
        return ""
    return missing_told(missing_days(usual, arrived.rows_of_day, expected=arrived.expected), usual)


def _few_rows(arrived: Arrivals, config: DriftConfig) -> str:
    """A word on a day with fewer rows than half of the least of the usual days; of another none.

    Holidays look like that, too: it is told, and refused only below `[drift] min_row_share`.
    """
    fewest, days = arrived.smallest_new_day, arrived.usual_days
    if arrived.table != "interactions" or fewest is None or len(days) < FEWEST_NIGHTS:
        return ""
    rows, least = arrived.rows_of_day[fewest], min(arrived.rows_of_day[day] for day in days)
    if least < config.min_rows or rows >= FEW * least:
        return ""
    return (
        f"few rows: {rows:,} for {fewest}, on the {len(days)} usual days at least {least:,}; "
        "is a file missing or cut short?"
    )


def _unusable(arrived: Arrivals, config: DriftConfig, asked_for: frozenset[str]) -> Verdict | None:
    """A file of which every row is rejected, where usually some are not.

    Rows that were asked to be set aside are none of it: a file of returns may have no others.
    """
    damage = [(drop, _damage(drop, asked_for)) for drop in arrived.unusable]
    found = [(drop, rejected) for drop, rejected in damage if rejected.total() >= config.min_rows]
    if not found or not any(drop.rows_landed for drop in arrived.usual):
        return None
    drop, rejected = max(found, key=lambda pair: pair[1].total())
    ((reason, _),) = rejected.most_common(1)
    return Verdict(
        "drop rows",
        False,
        f"none of {rejected.total():,} rows can be used, most because “{reason}”",
        "some rows of every file",
        f"{arrived.table}: {drop.source_file}",
    )


def _rows_replaced(arrived: Arrivals, config: DriftConfig) -> Verdict | None:
    """A file in the place of one of the same name has not far fewer rows than it."""
    earlier = {drop.id: drop for drop in arrived.usual}
    came = {drop.id: drop for drop in (*arrived.tonight, *arrived.unusable)}.values()
    pairs = [(drop, earlier[drop.supersedes]) for drop in came if drop.supersedes in earlier]
    pairs = [(drop, old) for drop, old in pairs if old.rows_landed >= config.min_rows]
    if not pairs:
        return None
    drop, old = min(pairs, key=lambda pair: pair[0].rows_landed / pair[1].rows_landed)
    return Verdict(
        "drop rows",
        drop.rows_landed >= config.min_row_share * old.rows_landed,
        f"{drop.rows_landed:,} usable rows, the file that it replaces had {old.rows_landed:,}",
        f"at least {config.min_row_share} of that",
        f"{arrived.table}: {drop.source_file}",
    )


def _columns(arrived: Arrivals, report: Mapping[str, Any]) -> Verdict:
    """Columns that were filled and are empty, or whose every event is one never heard of."""
    told = []
    for name, line in report["columns"].items():
        usual = line["usual"]
        if usual is None:
            continue
        if line["empty_share"] >= EMPTY and usual["empty_share"] <= 1 - FULL:
            told.append(f"{name} is empty in {line['empty_share']:.0%} of the rows")
        elif name == "event" and (line["new_values_share"] or 0.0) >= EMPTY:
            told.append(f"{name} has values never heard of: {', '.join(list(line['counts'])[:3])}")
    return Verdict(
        "drop columns",
        not told,
        "; ".join(told) or f"{len(report['columns'])} columns as filled as usual",
        "every column that is usually filled",
        f"{arrived.table}: {', '.join(report['drops'][:3])}" if told else "",
    )


def _unseen_ids(
    store: Store, arrived: Arrivals, column: str, config: DriftConfig, *, known: pl.Series | None
) -> Verdict:
    """Share of tonight's rows whose id no usual drop and no catalogue has."""
    gate = "drop items" if column == "item_id" else "drop users"
    by_day = ((day, _ids(store, arrived, day, column)) for day in arrived.usual_days)
    ids = {day: frame for day, frame in by_day if frame.height}
    tonight = _rows_of(store, arrived.tonight, column)
    parts = [tonight.clear(), *(frame.select(column) for frame in ids.values())]
    if known is not None:
        parts.append(known.rename(column).to_frame())
    seen = pl.concat(parts).unique()
    fresh = tonight.join(seen, on=column, how="anti")
    share = fresh.height / max(tonight.height, 1)
    days = list(ids)
    usual = [
        _unseen_share(ids[day], pl.concat([ids[d].select(column) for d in days[:place]]), column)
        for place, day in enumerate(days)
        if place > 0 and place >= len(days) // 2
    ]
    ordinary = float(np.median(usual)) if usual else 0.0
    return Verdict(
        gate,
        share < config.max_unseen_ids or ordinary >= NOT_SEEN_USUALLY,
        f"{share:.3f} of the rows have an unseen {column}, usually {ordinary:.3f}",
        f"less than {config.max_unseen_ids}",
        f"{column}: {fresh[column][0]!r}" if share >= config.max_unseen_ids else "",
    )


def _ids(store: Store, arrived: Arrivals, day: date, column: str) -> pl.DataFrame:
    """Distinct ids of a usual day and their rows: column, len."""
    drops = [drop for drop in arrived.usual if arrived.days[drop.id] == day]
    return _rows_of(store, drops, column).group_by(column).len()


def _rows_of(store: Store, drops: Sequence[Drop], column: str) -> pl.DataFrame:
    files = [store.lake / name for drop in drops for name in drop.files]
    if not files:
        return pl.DataFrame(schema={column: pl.Null})
    return pl.scan_parquet(files).select(column).collect()


def _unseen_share(day: pl.DataFrame, earlier: pl.DataFrame, column: str) -> float:
    unseen = day.join(earlier, on=column, how="anti")
    return float(unseen["len"].sum() / max(int(day["len"].sum()), 1))


def worst_of(found: Sequence[Verdict]) -> list[Verdict]:
    """One verdict a gate: the first that refuses, else the first."""
    chosen: dict[str, Verdict] = {}
    for verdict in sorted(found, key=lambda v: v.passed):
        chosen.setdefault(verdict.gate, verdict)
    return [chosen[gate] for gate in DROP_GATES if gate in chosen]
