"""Gates: each catches the night it is there for, and a good night passes all."""

from __future__ import annotations

import polars as pl
import pytest

from pwrank.config import Config
from pwrank.datasets import RANKINGS, IdTypes
from pwrank.gates.rows import check_shard, row_verdicts
from tests.library.judged_world import rankings

CROWD = "uvwxyzklmnop"
OFFERED = list("abcdefgh")
CATALOGUE = pl.DataFrame({"item_id": [*OFFERED, "gone"], "available": [True] * 8 + [False]})
SEEN = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"]})
GOOD = {"u": "bcd", "v": "acd", "w": "abc"}


def config(k=3, **sections) -> Config:
    base = {"lake": "l", "source": {"interactions": "i", "items": "i"}, "score": {"k": k}}
    return Config.model_validate(base | sections)


def refused_by(frame, users=tuple(GOOD), settings=None):
    settings = settings or config()
    owed = pl.DataFrame({"user_id": list(users)}, schema={"user_id": pl.String})
    check = check_shard(frame, owed, seen=SEEN, catalogue=CATALOGUE, config=settings)
    return {
        verdict.gate: verdict for verdict in row_verdicts([check], settings) if not verdict.passed
    }


def changed(row, **values):
    """The good night with one row changed."""
    number = pl.int_range(pl.len())
    return rankings(GOOD).with_columns(
        pl.when(number == row).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    ).cast(RANKINGS.schema(IdTypes()))  # fmt: skip


def test_a_good_night_passes_every_gate():
    assert refused_by(rankings(GOOD)) == {}


def test_what_exploration_placed_may_score_less_than_what_follows():
    assert refused_by(changed(1, score=0.01, source="explore")) == {}


@pytest.mark.parametrize(
    ("gate", "frame"),
    [
        ("rank gap", changed(2, rank=7)),
        ("rank gap", changed(0, rank=0)),
        ("score not finite", changed(1, score=float("nan"))),
        ("score not finite", changed(8, score=float("-inf"))),
        ("score not finite", changed(1, score=None)),
        ("score rises with rank", changed(1, score=0.9)),
        ("score rises with rank", changed(1, score=0.9, source="popular_fill")),
        ("score rises with rank", changed(2, score=0.9)),
        ("item not available", changed(2, item_id="gone")),
        ("unknown item", changed(2, item_id="never heard of")),
        ("seen item", changed(2, item_id="a")),
        ("item twice in a list", changed(2, item_id="b")),
        ("user not owed a list", rankings(GOOD | {"stranger": "abc"})),
        ("user coverage", rankings({"u": "bcd", "v": "acd"})),
        ("list fill", rankings(GOOD | {"w": "ab"})),
        ("personal lists", rankings(dict.fromkeys(CROWD, "cde"))),
        ("rows", rankings({})),
    ],
)
def test_each_gate_catches_what_it_is_there_for(gate, frame):
    users = CROWD if gate == "personal lists" else GOOD
    assert gate in refused_by(frame, tuple(users))


def test_a_refusal_names_figure_bound_and_an_offending_row():
    verdict = refused_by(changed(2, item_id="gone"))["item not available"]
    assert (verdict.figure, verdict.bound) == ("1 rows", "none")
    assert "'user_id': 'u'" in verdict.sample
    assert "gone" in verdict.sample
    missing = refused_by(rankings({"u": "bcd", "v": "acd"}))["user coverage"]
    assert missing.figure == "0.6667 (1 missing)"
    assert "'w'" in missing.sample


def test_a_list_may_be_short_only_where_there_is_nothing_left_to_give():
    settings = config(k=8)
    full = {"u": "bcdefgh", "v": "acdefgh", "w": "abcdefgh"}
    assert refused_by(rankings(full), settings=settings) == {}
    assert set(refused_by(rankings(full | {"u": "bcdefg"}), settings=settings)) == {"list fill"}


def test_a_user_who_has_seen_everything_is_owed_nothing():
    everything = pl.DataFrame({"user_id": ["u"] * 8, "item_id": OFFERED})
    users = pl.DataFrame({"user_id": ["u", "w"]})
    settings = config()
    frame = rankings({"w": "abc"})
    check = check_shard(frame, users, seen=everything, catalogue=CATALOGUE, config=settings)
    assert all(verdict.passed for verdict in row_verdicts([check], settings))


def test_seen_items_may_come_back_where_that_is_configured():
    settings = config(score={"k": 3, "exclude_seen": False})
    assert refused_by(changed(2, item_id="a"), settings=settings) == {}


def test_lists_that_were_rearranged_by_a_rule_need_not_fall_in_score():
    frame = changed(1, score=0.9)
    assert refused_by(frame, settings=config(rerank={"diversity": 0.3})) == {}


def test_popular_lists_may_be_all_the_same():
    frame = rankings(dict.fromkeys(CROWD, "cde"), sources="popular")
    assert refused_by(frame, tuple(CROWD)) == {}


def test_a_handful_of_users_may_get_the_same_list():
    assert refused_by(rankings(dict.fromkeys("uvw", "cde"))) == {}


def test_thresholds_can_be_loosened_by_configuration():
    half = rankings({"u": "bcd", "v": "ac"})
    loose = config(gates={"min_user_coverage": 0.5, "min_list_fill": 0.5})
    assert refused_by(half, settings=loose) == {}


def refused_in_shards(seen):
    settings = config()
    checks = [
        check_shard(
            rankings({user: items}),
            pl.DataFrame({"user_id": [user]}),
            seen=seen,
            catalogue=CATALOGUE,
            config=settings,
        )
        for user, items in dict.fromkeys(CROWD, "cde").items()
    ]
    return {verdict.gate for verdict in row_verdicts(checks, settings) if not verdict.passed}


def test_shards_are_added_up_before_deciding():
    others = [f"touched {number}" for number in range(100)]
    seen = pl.concat([SEEN, pl.DataFrame({"user_id": "somebody", "item_id": others})])
    assert refused_in_shards(seen) == {"personal lists", "one item", "cold items"}


def test_a_young_log_may_show_what_nobody_has_touched():
    assert refused_in_shards(SEEN) == {"personal lists", "one item"}
