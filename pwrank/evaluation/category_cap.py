"""Lists that hold more of a category than `[rerank] max_per_category` allows, since they had to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pwrank.config import RerankConfig


def cap_figures(
    parts: Sequence[Path], catalogue: pl.DataFrame, rules: RerankConfig
) -> dict[str, Any] | None:
    """Counted in the rows of RANKINGS parts, as JSON values; None where no cap is asked for.

    catalogue: `item_id, category`. `lists_over`: lists with more than `most` of one category in the
    first `window` ranks; `rows_over`: rows there beyond it.
    """
    if not rules.max_per_category:
        return None
    most, window = rules.max_per_category, rules.category_window
    named = catalogue.filter(pl.col("category") != "").select("item_id", "category")
    lists = rows = 0
    for path in parts:
        first = pl.read_parquet(path, columns=["user_id", "rank", "item_id"])
        first = first.filter(pl.col("rank") <= window).join(named, on="item_id")
        over = first.group_by("user_id", "category").len().filter(pl.col("len") > most)
        lists += over["user_id"].n_unique()
        rows += int((over["len"] - most).sum())
    return {"most": most, "window": window, "lists_over": lists, "rows_over": rows}
