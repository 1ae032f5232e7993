"""Gates on the catalogue against the one that the last published night had."""

from __future__ import annotations

import polars as pl

from pwrank.config import DriftConfig
from pwrank.gates.verdicts import CATALOGUE_GATES, Verdict


def judge_catalogue(
    now: pl.DataFrame, before: pl.DataFrame | None, config: DriftConfig, *, same_text: bool
) -> list[Verdict]:
    """Compare `item_id, available, content_hash` of two nights.

    same_text: the text of an item is put together by the same template on both.
    """
    if before is None or before.height < config.min_rows:
        told = "no earlier catalogue" if before is None else f"{before.height} items before"
        return [Verdict(gate, passed=True, figure=told, bound="") for gate in CATALOGUE_GATES]
    return [_size(now, before, config), _texts(now, before, config, same_text=same_text)]


def _size(now: pl.DataFrame, before: pl.DataFrame, config: DriftConfig) -> Verdict:
    """Items that could be ranked and cannot any more."""
    offered = before.filter("available").select("item_id")
    lost = offered.join(now.filter("available"), on="item_id", how="anti").sort("item_id")
    share = lost.height / max(offered.height, 1)
    return Verdict(
        "catalogue size",
        share <= config.max_lost_items,
        f"{share:.4f} ({lost.height:,} of {offered.height:,} available items are gone)",
        f"at most {config.max_lost_items}",
        f"items {lost['item_id'].head(3).to_list()}" if lost.height else "",
    )


def _texts(
    now: pl.DataFrame, before: pl.DataFrame, config: DriftConfig, *, same_text: bool
) -> Verdict:
    """Items that bear a text which was another item's."""
    both = before.join(now, on="item_id", suffix="_now").filter(pl.col("content_hash") != "")
    if not same_text or both.is_empty():
        return Verdict("item texts", passed=True, figure="not compared", bound="")
    changed = both.filter(pl.col("content_hash") != pl.col("content_hash_now"))
    others = before.select("content_hash").unique()
    swapped = changed.join(others, left_on="content_hash_now", right_on="content_hash", how="semi")
    swapped = swapped.filter(pl.col("content_hash_now") != "").sort("item_id")
    share = swapped.height / both.height
    return Verdict(
        "item texts",
        share <= config.max_swapped_texts,
        f"{share:.4f} ({swapped.height:,} of {both.height:,} items bear another item's text; "
        f"{changed.height:,} texts changed)",
        f"at most {config.max_swapped_texts}",
        f"items {swapped['item_id'].head(3).to_list()}" if swapped.height else "",
    )
