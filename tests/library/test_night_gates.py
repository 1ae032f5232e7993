"""Gates on a night as a whole: against the last lists, the champion, popularity, exact search."""

from __future__ import annotations

import dataclasses
import random
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from pwrank.config import GatesConfig, IndexConfig
from pwrank.gates.comparison import LastLists, compare_with_last
from pwrank.gates.model import recall_verdict, try_at_work, validation_verdict
from pwrank.gates.night import hot_items
from pwrank.gates.verdicts import (
    ALL_GATES,
    BOUNDS,
    COMPARED_GATES,
    Verdict,
    checked_overrides,
    how_to_override,
)
from pwrank.lists.exact_search import make_pool
from pwrank.lists.retrieval import build_index
from pwrank.ranker.model import Ranker
from tests.library.judged_world import log, rankings
from tests.library.lively_world import NEXT_NOW, TOMORROW
from tests.library.tiny_world import stage_night

PEOPLE = [f"u{number:02d}" for number in range(60)]
ITEMS = [f"i{number:03d}" for number in range(200)]


def test_a_refusal_by_the_last_lists_names_the_bounds_that_could_be_loosened():
    def refusal(*gates: str) -> str:
        return how_to_override([Verdict(gate, passed=False, figure="", bound="") for gate in gates])

    assert refusal("churn", "one item") == (
        "if this is as it should be: run again with "
        '--override churn="why" --override one-item="why"\n'
        "if every night is so: loosen [gates] max_churn, max_churn_changed"
    )
    assert "loosen" not in refusal("one item")
    bounds = {bound for each in BOUNDS.values() for bound in each}
    assert bounds <= set(GatesConfig.model_fields)
    assert set(BOUNDS) == set(COMPARED_GATES)


def lists(seed=1):
    """Sixty lists of ten of two hundred items."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    return rankings({person: rng.sample(ITEMS, 10) for person in PEOPLE})


def compared(tmp_path, tonight, before, *, same=True, hot=()):
    path = tmp_path / "part-00000.parquet"
    tonight.write_parquet(path)
    last = LastLists("2024-02-29", before.lazy(), same) if before is not None else None
    told = pl.Series("item_id", hot, dtype=pl.String)
    found = compare_with_last([path], 60, last, GatesConfig(), hot=told)
    assert len(found) == 5
    return {verdict.gate: verdict for verdict in found}


def refused(found) -> set[str]:
    return {gate for gate, verdict in found.items() if not verdict.passed}


def test_the_same_lists_again_pass(tmp_path):
    found = compared(tmp_path, lists(), lists())
    assert refused(found) == set()
    assert "RBO@10 1.000" in found["overlap"].figure
    assert found["churn"].figure.startswith("0.000 of the first 10 are new")


def test_lists_that_have_nothing_in_common_are_refused_with_users_to_look_at(tmp_path):
    found = compared(tmp_path, lists(2), lists(1))
    assert refused(found) == {"overlap", "churn"}
    assert found["churn"].sample.startswith("user_id: 'u")
    assert refused(compared(tmp_path, lists(2), lists(1), same=False)) == set()


def test_scores_that_moved_are_refused(tmp_path):
    moved = lists().with_columns((pl.col("score") * 20).cast(pl.Float32))
    found = compared(tmp_path, moved, lists())
    assert refused(found) == {"score distribution"}
    assert "then" in found["score distribution"].sample


def test_an_item_that_is_in_every_list_at_once_is_refused_unless_people_took_it(tmp_path):
    last_place = pl.when(pl.col("rank") == 10).then(pl.lit("hype")).otherwise("item_id")
    everywhere = lists().with_columns(last_place.alias("item_id"))
    found = compared(tmp_path, everywhere, lists())
    assert refused(found) == {"item takeover"}
    assert "hype" in found["item takeover"].sample
    assert refused(compared(tmp_path, everywhere, lists(), hot=["hype"])) == set()


def test_hot_is_what_was_done_most_in_the_last_day_or_week(tmp_path):
    rows = [("u", f"i{n % 40:02d}", -3 - n / 1000) for n in range(400)]
    rows += [("u", f"hot{n % 3}", -0.5) for n in range(9)] + [("u", "old", -30)] * 99
    log(rows).write_parquet(tmp_path / "part-00000.parquet")
    hot = hot_items([tmp_path / "part-00000.parquet"]).to_list()
    assert {"hot0", "hot1", "hot2"} <= set(hot)
    assert "old" not in hot
    assert 20 <= len(hot) <= 40


def test_users_who_lose_their_personal_list_are_counted(tmp_path):
    popular = pl.when(pl.col("user_id") < "u20").then(pl.lit("popular")).otherwise("source")
    found = compared(tmp_path, lists().with_columns(popular.alias("source")), lists())
    assert refused(found) == {"lists lost"}
    assert found["lists lost"].figure.startswith("0.3333 of 60 users")


@pytest.mark.parametrize("users", [0, 20])
def test_the_first_night_and_a_handful_of_users_are_not_compared(tmp_path, users):
    before = lists(2).filter(pl.col("user_id") < f"u{users}") if users else None
    assert refused(compared(tmp_path, lists(1), before)) == set()


VALIDATED = {
    "validation_users": 500.0,
    "validation_ndcg@10": 0.10,
    "popularity_ndcg@10": 0.08,
    "popularity_error": 0.005,
    "champion_ndcg@10": 0.11,
    "champion_error": 0.005,
}


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        ({}, True),
        ({"champion_ndcg@10": 0.20}, False),
        ({"popularity_ndcg@10": 0.30}, False),
        ({"champion_ndcg@10": 0.20, "champion_error": 0.03}, True),
        ({"champion_ndcg@10": 0.20, "validation_users": 12.0}, True),
    ],
)
def test_a_new_model_may_not_be_clearly_worse_than_its_rivals(changed, passed):
    verdict = validation_verdict(VALIDATED | changed, GatesConfig(), new=True)
    assert verdict.passed is passed
    assert "champion" in verdict.figure
    assert validation_verdict(VALIDATED | changed, GatesConfig(), new=False).passed


def test_a_first_model_has_no_champion():
    first = {name: value for name, value in VALIDATED.items() if "champion" not in name}
    assert "champion" not in validation_verdict(first, GatesConfig(), new=True).figure


def test_a_model_that_ranks_the_wrong_way_round_is_refused_at_work(lively_world, monkeypatch):
    night = stage_night(lively_world.run(as_of=TOMORROW, now=NEXT_NOW))
    (told, recall) = try_at_work(night.run, night.refs)
    assert (told.gate, told.passed, recall.passed) == ("model at work", True, True)
    real = Ranker.score

    def upside_down(*arguments, **options):
        scores = real(*arguments, **options)
        return dataclasses.replace(scores, logit=-scores.logit)

    monkeypatch.setattr(Ranker, "score", upside_down)
    (told, _) = try_at_work(night.run, night.refs)
    assert not told.passed, told


def test_an_index_that_finds_too_little_is_refused():
    rng = np.random.default_rng(3)
    vectors = torch.from_numpy(rng.normal(size=(4000, 16)).astype(np.float32))
    pool = make_pool(vectors, np.arange(4000, dtype=np.int64))
    queries = rng.normal(size=(50, 16)).astype(np.float32)
    built, certificate = build_index(pool, queries, IndexConfig(kind="ivf"), k=20)
    items = SimpleNamespace(approximate=built, pool=pool)
    assert certificate.recall >= 0.98
    assert recall_verdict(items, queries, 0.98, k=20).passed
    built.index.nprobe = 1
    found = recall_verdict(items, queries, 0.98, k=20)
    assert not found.passed
    assert found.bound == "at least 0.96"
    assert recall_verdict(SimpleNamespace(approximate=None, pool=pool), queries, 0.98, k=20).passed


def test_every_gate_there_is_has_one_name(lively_world):
    night = stage_night(lively_world.run(as_of=TOMORROW, now=NEXT_NOW))
    told = [gate["gate"] for gate in night.publish().gates]
    assert len(told) == len(set(told)) == len(ALL_GATES)
    assert set(told) == set(ALL_GATES)
    assert checked_overrides({"item-texts": " why "}) == {"item texts": "why"}
