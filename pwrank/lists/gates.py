"""Gates: what must hold before staged rankings become visible. Pure functions on one shard.

A gate counts; `verdicts` adds the shards up and decides. Each verdict names its figure, its bound
and an offending sample, so that whoever is paged reads the cause in one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from pwrank.config import Config
from pwrank.lists.sources_of_ranks import PERSONAL_SOURCES

FIRST_RANKS = 10
"""Ranks that are compared when lists are told apart."""

CROWD = 10
"""Personal lists from which on it means something that they are all the same."""


@dataclass
class ShardCheck:
    """Counts over one shard, or over all of them after `add`."""

    users_owed: int = 0
    users_listed: int = 0
    rows: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    samples: dict[str, str] = field(default_factory=dict)
    personal_lists: int = 0
    first_items: Counter[int] = field(default_factory=Counter)

    def add(self, other: ShardCheck) -> None:
        """Add the counts of another shard."""
        self.users_owed += other.users_owed
        self.users_listed += other.users_listed
        self.rows += other.rows
        self.violations.update(other.violations)
        self.samples = other.samples | self.samples
        self.personal_lists += other.personal_lists
        self.first_items.update(other.first_items)

    def blame(self, rule: str, rows: pl.DataFrame) -> None:
        """Count rows that break a rule and remember the first."""
        if rows.height:
            self.violations[rule] += rows.height
            self.samples.setdefault(rule, str(rows.row(0, named=True)))


@dataclass(frozen=True)
class Verdict:
    """What one gate says of the night."""

    gate: str
    passed: bool
    figure: str
    bound: str
    sample: str = ""

    def to_json(self) -> dict[str, Any]:
        """For manifests and reports."""
        return dict(self.__dict__)


def check_shard(
    rankings: pl.DataFrame,
    users: pl.DataFrame,
    *,
    seen: pl.DataFrame,
    catalogue: pl.DataFrame,
    config: Config,
) -> ShardCheck:
    """Look at every row of one shard.

    rankings: RANKINGS rows; users: USERS owed a list; seen: user_id, item_id pairs that may not
    come back; catalogue: item_id, available.
    """
    offered = catalogue.filter("available").select("item_id")
    taken = seen if config.score.exclude_seen else seen.clear()
    room = _room(users, taken.join(offered, on="item_id", how="semi"), offered.height)
    # Whoever has seen everything can be given nothing.
    owed = users.join(room.filter(pl.col("room") > 0), on="user_id", how="semi")
    check = ShardCheck(users_owed=owed.height, rows=rankings.height)
    listed = rankings.select("user_id").unique()
    check.users_listed = listed.join(owed, on="user_id", how="semi").height
    check.blame("missing user", owed.join(listed, on="user_id", how="anti"))
    check.blame("user not owed a list", listed.join(users, on="user_id", how="anti"))
    _check_ranks_and_scores(rankings, check, ordered=_is_ordered(config))
    rows = rankings.select("user_id", "rank", "item_id")
    check.blame(
        "item twice in a list", rows.filter(pl.struct("user_id", "item_id").is_duplicated())
    )
    check.blame("item not available", rows.join(offered, on="item_id", how="anti"))
    check.blame("seen item", rows.join(taken, on=["user_id", "item_id"], how="semi"))
    lengths = rankings.group_by("user_id").len()
    due = pl.min_horizontal("room", pl.lit(config.score.k))
    short = room.join(lengths, on="user_id").filter(pl.col("len") < due)
    check.blame("short list", short)
    _count_first_items(rankings, check)
    return check


def _is_ordered(config: Config) -> bool:
    """Whether scores fall with rank: list-level rules may put a lower score first."""
    rules = config.rerank
    return not (rules.max_per_category or rules.diversity or rules.explore)


def _check_ranks_and_scores(rankings: pl.DataFrame, check: ShardCheck, *, ordered: bool) -> None:
    in_order = rankings.with_columns(
        pl.int_range(1, pl.len() + 1).over("user_id").alias("expected"),
        pl.col("score").shift(1).over("user_id").alias("above"),
    )
    check.blame("rank gap", in_order.filter(pl.col("rank") != pl.col("expected")))
    finite = pl.col("score").is_finite().fill_null(value=False)
    check.blame("score not finite", rankings.filter(~finite))
    if ordered:
        rising = in_order.filter(pl.col("score") > pl.col("above"))
        check.blame("score rises with rank", rising)


def _room(users: pl.DataFrame, seen: pl.DataFrame, offered: int) -> pl.DataFrame:
    """How many items each user can still be given: user_id, room."""
    taken = seen.unique(["user_id", "item_id"]).group_by("user_id").len("taken")
    return users.join(taken, on="user_id", how="left").select(
        "user_id", (pl.lit(offered) - pl.col("taken").fill_null(0)).alias("room")
    )


def _count_first_items(rankings: pl.DataFrame, check: ShardCheck) -> None:
    personal = rankings.filter(
        pl.col("source").is_in(PERSONAL_SOURCES) & (pl.col("rank") <= FIRST_RANKS)
    )
    lists = personal.group_by("user_id", maintain_order=True).agg(
        pl.col("item_id").cast(pl.String).str.join("\x00").hash(seed=0).first().alias("list")
    )
    check.personal_lists = lists.height
    check.first_items.update(lists["list"].to_list())


def verdicts(checks: Iterable[ShardCheck], config: Config) -> list[Verdict]:
    """Add up the shards and decide, gate by gate."""
    total = ShardCheck()
    for check in checks:
        total.add(check)
    gates = config.gates
    coverage = total.users_listed / total.users_owed if total.users_owed else 0.0
    short = total.violations.pop("short list", 0)
    missing = total.violations.pop("missing user", 0)
    fill = 1 - short / total.users_listed if total.users_listed else 0.0
    same = max(total.first_items.values(), default=0) / max(total.personal_lists, 1)
    crowd = total.personal_lists >= CROWD
    found = [
        Verdict("rows", total.rows > 0, f"{total.rows:,}", "more than 0"),
        Verdict(
            "user coverage",
            coverage >= gates.min_user_coverage,
            f"{coverage:.4f} ({missing:,} missing)",
            f"at least {gates.min_user_coverage}",
            total.samples.get("missing user", ""),
        ),
        Verdict(
            "list fill",
            fill >= gates.min_list_fill,
            f"{fill:.4f} ({short:,} short)",
            f"at least {gates.min_list_fill}",
            total.samples.get("short list", ""),
        ),
        Verdict(
            "personal lists",
            not crowd or same <= gates.max_same_list_share,
            f"{same:.4f} of {total.personal_lists:,} are the very same",
            f"at most {gates.max_same_list_share}",
        ),
    ]
    for rule in RULES:
        count = total.violations.get(rule, 0)
        figure = f"{count:,} rows"
        found.append(Verdict(rule, count == 0, figure, "none", total.samples.get(rule, "")))
    return found


RULES = (
    "user not owed a list",
    "rank gap",
    "score not finite",
    "score rises with rank",
    "item twice in a list",
    "item not available",
    "seen item",
)
"""What no row may do."""
