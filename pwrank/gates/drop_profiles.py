"""What a drop looks like, column by column; computed once a drop. Holds counts, never an id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from pwrank.gates.stability import psi
from pwrank.landing.drops import Drop
from pwrank.store import Store, fingerprint, read_json, write_json

PROFILE_VERSION = 1
"""Raise when the same drop would have another profile."""

LISTED_VALUES = 20
"""Commonest values of a column of few values that are counted by name."""

FEW_VALUES = 50
"""Distinct numbers up to which they are counted rather than cut into quantiles."""

CELLS = 8_000_000
"""Cells of a drop that are read at once; of more, some columns after the others."""

TENTHS = np.linspace(0, 1, 11)
KEPT_OUT = {"source_file", "source_line", "ingested_at", "attributes"}
NAMED = {"event", "category", "available"}
"""Columns whose values are counted by name."""

Profile = Mapping[str, Any]


def profile_drop(store: Store, drop: Drop) -> Profile:
    """`rows`, and for each column `empty`, `distinct`, and `counts` or `quantiles`.

    Computed at first asking, then kept in `control/profiles`.
    """
    key = fingerprint(PROFILE_VERSION, drop.id)
    path = store.control / "profiles" / drop.table / f"{key}.json"
    if path.exists():
        return read_json(path)
    files = [store.lake / name for name in drop.files]
    profile: dict[str, Any] = {"rows": drop.rows_landed, "columns": {}}
    if files:
        scan = pl.scan_parquet(files)
        names = [name for name in scan.collect_schema().names() if name not in KEPT_OUT]
        at_once = max(1, CELLS // max(drop.rows_landed, 1))
        for first in range(0, len(names), at_once):
            some = scan.select(names[first : first + at_once]).collect()
            profile["columns"] |= {values.name: profile_column(values) for values in some}
    write_json(path, profile)
    return profile


def profile_column(values: pl.Series) -> dict[str, Any]:
    """How much of a column is empty, how much differs, and how it is distributed."""
    empty = values.null_count()
    if values.dtype == pl.String:
        empty += int((values == "").sum())
    told: dict[str, Any] = {"empty": empty, "distinct": values.n_unique()}
    present = values.drop_nulls()
    if values.name in NAMED:
        commonest = present.cast(pl.String).value_counts(sort=True).head(LISTED_VALUES)
        told["counts"] = dict(commonest.iter_rows())
        told["counts"]["(others)"] = len(present) - int(commonest["count"].sum())
    elif isinstance(values.dtype, pl.Datetime):
        told["counts"] = _counted(present.dt.hour().cast(pl.String))
    elif values.dtype.is_float():
        told |= _numbers(present)
    elif values.name in {"title", "text"}:
        told |= _numbers(present.str.len_chars())
    else:
        most = present.value_counts(sort=True).head(1)
        told["commonest"] = int(most["count"][0]) if most.height else 0
    return told


def _counted(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.value_counts().iter_rows()))


def _numbers(values: pl.Series) -> dict[str, Any]:
    numbers = values.cast(pl.Float64)
    if numbers.n_unique() <= FEW_VALUES:
        counts = numbers.value_counts().sort(numbers.name)
        return {"counts": {f"{value:g}": count for value, count in counts.iter_rows()}}
    return {"quantiles": [float(q) for q in np.quantile(numbers.to_numpy(), TENTHS)]}


def pooled(profiles: Sequence[Profile]) -> Profile:
    """Several drops as one; quantiles and distinct values are means weighted by rows."""
    rows = sum(int(profile["rows"]) for profile in profiles)
    names = dict.fromkeys(name for profile in profiles for name in profile["columns"])
    columns = {
        name: _pooled_column(
            [(p["rows"], p["columns"][name]) for p in profiles if name in p["columns"]]
        )
        for name in names
    }
    return {"rows": rows, "columns": columns}


def _pooled_column(parts: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    weights = np.array([max(rows, 1) for rows, _ in parts], np.float64)
    told: dict[str, Any] = {
        "rows": sum(rows for rows, _ in parts),
        "empty": sum(part["empty"] for _, part in parts),
        "distinct_share": float(
            np.average([part["distinct"] / max(rows, 1) for rows, part in parts], weights=weights)
        ),
    }
    if all("counts" in part for _, part in parts):
        counts: dict[str, int] = {}
        for _, part in parts:
            for value, count in part["counts"].items():
                counts[value] = counts.get(value, 0) + count
        told["counts"] = counts
    elif all("quantiles" in part for _, part in parts):
        stacked = [part["quantiles"] for _, part in parts]
        told["quantiles"] = np.average(stacked, axis=0, weights=weights).tolist()
    if all("commonest" in part for _, part in parts):
        told["commonest"] = max(part["commonest"] / max(rows, 1) for rows, part in parts)
    return told


def compare_column(now: Mapping[str, Any], usual: Mapping[str, Any] | None) -> dict[str, Any]:
    """One line of the drift report; both from `pooled`, `usual` None where there is none."""
    line: dict[str, Any] = {
        "empty_share": now["empty"] / max(now["rows"], 1),
        "distinct_share": now["distinct_share"],
        "quantiles": now.get("quantiles"),
        "counts": now.get("counts"),
        "commonest_share": now.get("commonest"),
        "psi": None,
        "new_values_share": None,
        "usual": None,
    }
    if usual is None:
        return line
    line["usual"] = {
        "empty_share": usual["empty"] / max(usual["rows"], 1),
        "distinct_share": usual["distinct_share"],
        "quantiles": usual.get("quantiles"),
        "commonest_share": usual.get("commonest"),
    }
    if "counts" in now and "counts" in usual:
        values = sorted({*now["counts"], *usual["counts"]})
        before, after = ([side["counts"].get(v, 0) for v in values] for side in (usual, now))
        line["psi"] = psi(before, after)
        fresh = sum(n for v, n in now["counts"].items() if not usual["counts"].get(v))
        line["new_values_share"] = fresh / max(sum(now["counts"].values()), 1)
    elif "quantiles" in now and "quantiles" in usual:
        edges = usual["quantiles"][1:-1]
        below = np.interp(edges, now["quantiles"], TENTHS, left=0.0, right=1.0)
        shares = np.diff(np.concatenate([[0.0], below, [1.0]]))
        line["psi"] = psi(np.full(10, now["rows"] / 10), shares * now["rows"])
    return line
