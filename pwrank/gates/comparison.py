"""Gates on what changed since the lists published last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pwrank.config import GatesConfig
from pwrank.evaluation.list_figures import FIRST_RANKS, first_ranks
from pwrank.evaluation.metrics import list_overlap
from pwrank.gates.stability import psi_of_values
from pwrank.gates.verdicts import COMPARED_GATES, Verdict
from pwrank.lists.sources_of_ranks import PERSONAL_SOURCES

FEWEST_USERS = 50
"""Users from which on it means something that their lists changed."""

MOST_USERS = 20_000
"""Users whose lists are compared; a mean is then known to .003."""

COLUMNS = ("user_id", "rank", "item_id", "score", "source")


@dataclass(frozen=True)
class LastLists:
    """The lists published last before the date."""

    as_of: str
    rankings: pl.LazyFrame
    same_making: bool
    """The same model and configuration, not long ago: only the data moved."""


def compare_with_last(
    parts: Sequence[Path],
    users: int,
    last: LastLists | None,
    gates: GatesConfig,
    *,
    hot: pl.Series,
) -> list[Verdict]:
    """Compare the first ten ranks of users chosen by a hash of their id.

    users: how many in all; hot: `item_id` of what is taken most lately, which may rise.
    """
    if last is None:
        return _nothing("no lists were published before")
    stride = max(1, users // MOST_USERS)
    scans = [pl.scan_parquet(path) for path in parts]
    tonight = pl.concat([first_ranks(scan, COLUMNS, stride=stride) for scan in scans])
    before = first_ranks(last.rankings, COLUMNS, stride=stride)
    common = tonight.select("user_id").unique().join(before, on="user_id", how="semi").height
    if common < FEWEST_USERS:
        return _nothing(f"{common} users also had a list on {last.as_of}")
    return [
        _scores(tonight, before, last, gates),
        *_overlap(tonight, before, last, gates),
        _takeover(tonight, before, last, gates, hot),
        _lists_lost(tonight, before, last, gates),
    ]


def _nothing(why: str) -> list[Verdict]:
    return [Verdict(gate, passed=True, figure=why, bound="") for gate in COMPARED_GATES]


def _personal(lists: pl.DataFrame) -> pl.DataFrame:
    return lists.filter(pl.col("source").is_in(PERSONAL_SOURCES))


def _scores(
    tonight: pl.DataFrame, before: pl.DataFrame, last: LastLists, gates: GatesConfig
) -> Verdict:
    values = [
        _personal(lists)["score"].cast(pl.Float64).drop_nulls().to_numpy()
        for lists in (before, tonight)
    ]
    bound = gates.max_score_psi if last.same_making else gates.max_score_psi_changed
    found = psi_of_values(*values)
    middle = [float(np.median(v)) if len(v) else float("nan") for v in values]
    return Verdict(
        "score distribution",
        found <= bound,
        f"PSI {found:.3f} against {last.as_of}",
        f"at most {bound}",
        f"median {middle[0]:.4g} then, {middle[1]:.4g} now",
    )


def _overlap(
    tonight: pl.DataFrame, before: pl.DataFrame, last: LastLists, gates: GatesConfig
) -> list[Verdict]:
    users = list_overlap(_personal(tonight), _personal(before), k=FIRST_RANKS)
    if users.height < FEWEST_USERS:
        return _nothing(f"{users.height} users had personal lists then and now")[1:3]
    least = gates.min_rbo if last.same_making else gates.min_rbo_changed
    most = gates.max_churn if last.same_making else gates.max_churn_changed
    rbo, churn = users.select(pl.col("rbo", "churn").mean()).row(0)
    worst = _named(users.sort("rbo", "user_id"))
    return [
        Verdict(
            "overlap",
            rbo >= least,
            f"RBO@{FIRST_RANKS} {rbo:.3f} with {last.as_of}",
            f"at least {least}",
            worst if rbo < least else "",
        ),
        Verdict(
            "churn",
            churn <= most,
            f"{churn:.3f} of the first {FIRST_RANKS} are new since {last.as_of}",
            f"at most {most}",
            worst if churn > most else "",
        ),
    ]


def _named(users: pl.DataFrame) -> str:
    """The first three, in the form in which samples name users."""
    return ", ".join(f"user_id: {user!r}" for user in users["user_id"].head(3))


def _takeover(
    tonight: pl.DataFrame,
    before: pl.DataFrame,
    last: LastLists,
    gates: GatesConfig,
    hot: pl.Series,
) -> Verdict:
    """A release can be in every list overnight, but then it is what people took that day."""
    shares = [
        _personal(lists)
        .group_by("item_id")
        .agg((pl.len() / max(_personal(lists)["user_id"].n_unique(), 1)).alias("share"))
        for lists in (tonight, before)
    ]
    both = shares[0].join(shares[1], on="item_id", how="left", suffix="_before")
    both = both.join(hot.to_frame("item_id"), on="item_id", how="anti")
    rise = both.with_columns(rise=pl.col("share") - pl.col("share_before").fill_null(0.0))
    if rise.is_empty():
        return Verdict("item takeover", passed=True, figure="only what is hot", bound="")
    top = rise.sort("rise", "item_id", descending=[True, False]).row(0, named=True)
    return Verdict(
        "item takeover",
        top["rise"] <= gates.max_takeover,
        f"an item that is not hot is in {top['share']:.3f} of the personal first {FIRST_RANKS}, "
        f"{top['share_before'] or 0.0:.3f} on {last.as_of}",
        f"a rise of at most {gates.max_takeover}",
        f"item {top['item_id']!r}",
    )


def _lists_lost(
    tonight: pl.DataFrame, before: pl.DataFrame, last: LastLists, gates: GatesConfig
) -> Verdict:
    """Users who had a personal list, still have a list, and one that does not look at them."""
    had = _personal(before).select("user_id").unique()
    still = had.join(tonight, on="user_id", how="semi")
    lost = still.join(_personal(tonight), on="user_id", how="anti").sort("user_id")
    share = lost.height / max(still.height, 1)
    return Verdict(
        "lists lost",
        still.height < FEWEST_USERS or share <= gates.max_lists_lost,
        f"{share:.4f} of {still.height:,} users with a personal list on {last.as_of} have none",
        f"at most {gates.max_lists_lost}",
        _named(lost),
    )
