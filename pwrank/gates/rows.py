"""Gates on the staged rows themselves. Pure functions on one shard.

A gate counts; `row_verdicts` adds the shards up and decides. Each verdict names its figure, its
bound and an offending sample, so that whoever is paged reads the cause in one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from pwrank.config import Config
from pwrank.evaluation.list_figures import FIRST_RANKS
from pwrank.gates.verdicts import Verdict
from pwrank.lists.sources_of_ranks import EXPLORE, PERSONAL_SOURCES

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
    """Hash of the first ten items -> personal lists that have them."""
    longer_lists: int = 0
    """Lists of two or more."""
    known_lists: int = 0
    """Lists of users whose history holds an item of the catalogue."""
    known_rows: int = 0
    """Rows of these lists."""
    shown: list[pl.DataFrame] = field(default_factory=list)
    """`item_id, places, firsts`: of the personal first ten."""
    taken: list[pl.DataFrame] = field(default_factory=list)
    """`item_id, len`: interactions before the cut."""

    def add(self, other: ShardCheck) -> None:
        """Add the counts of another shard."""
        self.users_owed += other.users_owed
        self.users_listed += other.users_listed
        self.rows += other.rows
        self.violations.update(other.violations)
        self.samples = other.samples | self.samples
        self.personal_lists += other.personal_lists
        self.first_items.update(other.first_items)
        self.longer_lists += other.longer_lists
        self.known_lists += other.known_lists
        self.known_rows += other.known_rows
        self.shown += other.shown
        self.taken += other.taken

    def blame(self, rule: str, rows: pl.DataFrame) -> None:
        """Count rows that break a rule and remember the first."""
        if rows.height:
            self.violations[rule] += rows.height
            self.samples.setdefault(rule, str(rows.row(0, named=True)))


def check_shard(
    rankings: pl.DataFrame,
    users: pl.DataFrame,
    *,
    seen: pl.DataFrame,
    catalogue: pl.DataFrame,
    config: Config,
) -> ShardCheck:
    """Look at every row of one shard.

    rankings: RANKINGS rows; users: USERS owed a list; seen: user_id, item_id of the histories;
    catalogue: item_id, available.
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
    known = rows.join(catalogue, on="item_id", how="inner")
    check.blame("unknown item", rows.join(catalogue, on="item_id", how="anti"))
    check.blame("item not available", known.filter(~pl.col("available")).drop("available"))
    check.blame("seen item", rows.join(taken, on=["user_id", "item_id"], how="semi"))
    lengths = rankings.group_by("user_id").len()
    due = pl.min_horizontal("room", pl.lit(config.score.k))
    short = room.join(lengths, on="user_id").filter(pl.col("len") < due)
    check.blame("short list", short)
    _count_first_items(rankings, check)
    _count_flat_lists(rankings, check)
    _count_fallbacks(rankings, seen.join(catalogue, on="item_id", how="semi"), check)
    check.taken = [seen.group_by("item_id").len()]
    return check


def _is_ordered(config: Config) -> bool:
    """Whether scores fall with rank, what exploration placed apart: rules may put a lower first."""
    rules = config.rerank
    turned = (rules.max_per_category, rules.diversity, rules.novelty, rules.coverage)
    return not any(turned)


def _check_ranks_and_scores(rankings: pl.DataFrame, check: ShardCheck, *, ordered: bool) -> None:
    in_order = rankings.with_columns(
        pl.int_range(1, pl.len() + 1).over("user_id").alias("expected"),
    )
    check.blame("rank gap", in_order.filter(pl.col("rank") != pl.col("expected")))
    finite = pl.col("score").is_finite().fill_null(value=False)
    check.blame("score not finite", rankings.filter(~finite))
    if ordered:
        above = pl.col("score").shift(1).over("user_id")
        rising = in_order.filter(pl.col("source") != EXPLORE).filter(pl.col("score") > above)
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
    first = (pl.col("rank") == 1).sum().alias("firsts")
    check.shown = [personal.group_by("item_id").agg(pl.len().alias("places"), first)]


def _count_flat_lists(rankings: pl.DataFrame, check: ShardCheck) -> None:
    """Lists whose every score is the same."""
    lists = rankings.group_by("user_id", maintain_order=True).agg(
        pl.len(), pl.col("score").min().alias("lowest"), pl.col("score").max().alias("highest")
    )
    longer = lists.filter(pl.col("len") > 1)
    check.longer_lists = longer.height
    check.blame("constant scores", longer.filter(pl.col("lowest") == pl.col("highest")))


def _count_fallbacks(rankings: pl.DataFrame, seen: pl.DataFrame, check: ShardCheck) -> None:
    """Rows that do not look at the user, of users who could be looked at."""
    rows = rankings.select("user_id", "rank", "item_id", "source")
    known = rows.join(seen, on="user_id", how="semi")
    check.known_lists, check.known_rows = known["user_id"].n_unique(), known.height
    looked_at = pl.col("source").is_in([*PERSONAL_SOURCES, EXPLORE])
    check.blame("popularity", known.filter(~looked_at))


def row_verdicts(checks: Iterable[ShardCheck], config: Config) -> list[Verdict]:
    """Add up the shards and decide, gate by gate."""
    total = ShardCheck()
    for check in checks:
        total.add(check)
    found = [
        Verdict("rows", total.rows > 0, f"{total.rows:,}", "more than 0"),
        *_coverage(total, config),
        *_sameness(total, config),
        *_exposure(total, config),
        _share_of(
            total,
            "popularity",
            (total.known_rows, "rows"),
            config.gates.max_popular_share,
            crowd=total.known_lists >= CROWD,
        ),
    ]
    for rule in RULES:
        count = total.violations.get(rule, 0)
        figure = f"{count:,} rows"
        found.append(Verdict(rule, count == 0, figure, "none", total.samples.get(rule, "")))
    return found


def _coverage(total: ShardCheck, config: Config) -> list[Verdict]:
    gates = config.gates
    coverage = total.users_listed / total.users_owed if total.users_owed else 0.0
    missing, short = total.violations["missing user"], total.violations["short list"]
    fill = 1 - short / total.users_listed if total.users_listed else 0.0
    return [
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
    ]


def _sameness(total: ShardCheck, config: Config) -> list[Verdict]:
    gates = config.gates
    same = max(total.first_items.values(), default=0) / max(total.personal_lists, 1)
    crowd = total.personal_lists >= CROWD
    return [
        Verdict(
            "personal lists",
            not crowd or same <= gates.max_same_list_share,
            f"{same:.4f} of {total.personal_lists:,} are the very same",
            f"at most {gates.max_same_list_share}",
        ),
        _share_of(
            total,
            "constant scores",
            (total.longer_lists, "lists"),
            gates.max_same_list_share,
            crowd=total.longer_lists >= CROWD,
        ),
    ]


def _exposure(total: ShardCheck, config: Config) -> list[Verdict]:
    """One item first in too many personal lists; too many places for what nobody has touched."""
    gates, crowd = config.gates, total.personal_lists >= CROWD
    counts = pl.concat(total.shown).group_by("item_id").sum() if total.shown else None
    if counts is None or counts.is_empty():
        none = "no personal list"
        return [
            Verdict(gate, passed=True, figure=none, bound="") for gate in ("one item", "cold items")
        ]
    top = counts.sort("firsts", "item_id", descending=[True, False]).row(0, named=True)
    first = top["firsts"] / max(total.personal_lists, 1)
    touched = pl.concat(total.taken).select("item_id").unique()
    young = touched.height < CROWD * FIRST_RANKS  # users have had most of what anybody touched
    cold = counts.join(touched, on="item_id", how="anti").sort("places", descending=True)
    share = int(cold["places"].sum()) / int(counts["places"].sum())
    return [
        Verdict(
            "one item",
            not crowd or first <= gates.max_same_first_share,
            f"{first:.4f} of {total.personal_lists:,} personal lists begin with one item",
            f"at most {gates.max_same_first_share}",
            f"item {top['item_id']!r}",
        ),
        Verdict(
            "cold items",
            not crowd or young or share <= gates.max_cold_share,
            f"{share:.4f} of the first {FIRST_RANKS} places",
            f"at most {gates.max_cold_share} without any interaction",
            f"item {cold['item_id'][0]!r}" if cold.height else "",
        ),
    ]


def _share_of(
    total: ShardCheck, gate: str, whole: tuple[int, str], bound: float, *, crowd: bool
) -> Verdict:
    """A count of `blame` as a share of all that could have been blamed, so many of a unit."""
    count = total.violations[gate]
    share = count / max(whole[0], 1)
    return Verdict(
        gate,
        not crowd or share <= bound,
        f"{share:.4f} ({count:,} of {whole[0]:,} {whole[1]})",
        f"at most {bound}",
        total.samples.get(gate, ""),
    )


RULES = (
    "user not owed a list",
    "rank gap",
    "score not finite",
    "score rises with rank",
    "item twice in a list",
    "unknown item",
    "item not available",
    "seen item",
)
"""What no row may do."""
