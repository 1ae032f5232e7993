"""Published lists judged by what users then did."""

import json

import numpy as np
import polars as pl
import pytest

from pwrank.config import CleanConfig
from pwrank.datasets import NO_TIME, UTC_MICROSECONDS
from pwrank.errors import SourceError
from pwrank.evaluation.figures import SLICES
from pwrank.evaluation.holdout import evaluate_holdout, positive_interactions
from tests.library.judged_world import AS_OF, CATALOGUE_FRAME, HISTORY, ITEMS, LISTS, log, rankings


def judge(holdout, *, lists=LISTS, history=HISTORY, exclude_seen=True, **options):
    return evaluate_holdout(
        rankings(lists).lazy(),
        log(holdout),
        history=history,
        catalogue=CATALOGUE_FRAME,
        exclude_seen=exclude_seen,
        as_of=AS_OF,
        **options,
    )


def value(evaluation, metric, part="all", ranker="published"):
    return evaluation.slices[part].rankers[ranker][metric].value


def test_every_row_of_the_holdout_is_accounted_for():
    found = judge(
        [
            ("u", "c", 0),
            ("u", "c", 1),
            ("u", "a", 1),
            ("v", "zzz", 2),
            ("new", "a", 2),
            (None, "a", 1),
        ]
    ).account
    assert found["holdout_rows"] == 6
    parts = ("without_id", "repeated", "seen_before", "relevant")
    assert sum(found[part] for part in parts) == 6
    assert found["without_id"] == 1
    assert found["repeated"] == 1
    assert found["seen_before"] == 1
    assert found["relevant"] == 3
    assert found["outside_catalogue"] == 1
    assert (found["users_in_holdout"], found["users_judged"]) == (3, 3)
    assert (found["users_without_list"], found["users_listed"]) == (1, 3)


def test_a_user_without_a_list_counts_with_zero_and_is_told_apart():
    found = judge([("u", "c", 0), ("new", "a", 0)])
    assert value(found, "ndcg@10") == 0.5
    assert value(found, "ndcg@10", "with_list") == 1
    assert found.slices["with_list"].users == 1
    assert found.slices["new_users"].users == 1


def test_a_user_whose_holdout_holds_only_seen_items_is_not_judged():
    found = judge([("u", "a", 0), ("v", "b", 0)])
    assert found.account["users_judged"] == 1
    assert value(found, "recall@20") == 1


def test_repeats_count_where_lists_may_hold_seen_items():
    found = judge([("u", "a", 0)], lists={"u": "xab"}, exclude_seen=False)
    assert value(found, "mrr@10") == 0.5
    assert found.account["seen_before"] == 0


def test_an_item_outside_the_catalogue_is_a_miss():
    found = judge([("u", "c", 0), ("u", "zzz", 0)])
    assert value(found, "recall@20") == 0.5


def test_slices_tell_cold_users_and_cold_items_apart():
    found = judge([("u", "c", 0), ("w", "h", 0), ("v", "d", 0), ("v", "zzz", 0), ("new", "a", 0)])
    assert list(found.slices) == list(SLICES)
    sizes = {name: (part.users, part.relevant) for name, part in found.slices.items()}
    assert sizes["all"] == (4, 5)
    assert sizes["cold_users"] == (3, 4)  # w has six interactions.
    assert sizes["new_users"] == (1, 1)
    assert sizes["cold_items"] == (4, 4)
    assert sizes["new_items"] == (2, 2)  # h and d; zzz is not in the catalogue.
    assert value(found, "recall@20", "new_items") == 0.5


def test_popularity_stands_beside_with_the_paired_difference():
    found = judge([("u", "c", 0), ("v", "b", 0)])
    assert set(found.slices["all"].rankers) == {
        "published", "popularity", "popularity_1d", "popularity_7d", "popularity_30d",
    }  # fmt: skip
    assert value(found, "mrr@10", ranker="popularity") == 1  # b for v; c for u, who has a and b.
    lift = found.slices["all"].differences["popularity"]["mrr@10"]
    assert (lift.value, lift.low, lift.high) == (0, 0, 0)
    everybody = found.slices["all"]
    for name, figures in everybody.differences.items():
        for metric, figure in figures.items():
            gap = value(found, metric) - everybody.rankers[name][metric].value
            assert figure.value == pytest.approx(gap)
            assert figure.low - 1e-9 <= figure.value <= figure.high + 1e-9


def test_without_times_there_is_one_popularity():
    timeless = HISTORY.with_columns(occurred_at=pl.lit(NO_TIME, UTC_MICROSECONDS))
    found = judge([("u", "c", 0)], history=timeless)
    assert set(found.slices["all"].rankers) == {"published", "popularity"}


def test_lists_are_described_with_diversity_where_vectors_are_given():
    vectors = pl.DataFrame(
        {"content_hash": [item.upper() for item in ITEMS], "embedding": np.eye(8).tolist()},
        schema={"content_hash": pl.String, "embedding": pl.Array(pl.Float32(), 8)},
    )
    found = judge([("u", "c", 0)], embeddings=vectors)
    assert found.lists["published"]["diversity@10"] == pytest.approx(1)
    assert found.lists["published"]["coverage@10"] == pytest.approx(4 / 8)
    assert "diversity@10" not in judge([("u", "c", 0)]).lists["published"]


def test_scores_that_are_probabilities_get_a_reliability_table():
    found = judge([("u", "c", 0), ("v", "c", 0)]).calibration
    assert found["listed"]["rows"] == 12
    assert sum(row["rows"] for row in found["judged"]["reliability"]) == 8
    observed = sum(row["rows"] * row["observed"] for row in found["judged"]["reliability"])
    assert observed == pytest.approx(2)


def test_logits_get_no_reliability_table():
    lists = rankings(LISTS).with_columns(score=pl.lit(3.5, pl.Float32)).lazy()
    rest = {"catalogue": CATALOGUE_FRAME, "exclude_seen": True, "as_of": AS_OF}
    found = evaluate_holdout(lists, log([("u", "c", 0)]), history=HISTORY, **rest)
    assert found.calibration == {}


def test_the_same_seed_gives_the_same_json_and_no_nan():
    holdout = [("u", "c", 0), ("v", "h", 0), ("w", "e", 1)]
    first = json.dumps(judge(holdout, seed=3).to_json(), allow_nan=False)
    assert first == json.dumps(judge(holdout[::-1], seed=3).to_json(), allow_nan=False)


@pytest.mark.parametrize("holdout", [[], [("u", "a", 0)]])
def test_nobody_to_judge_is_told_rather_than_failed(holdout):
    found = judge(holdout)
    assert found.account["users_judged"] == 0
    assert found.to_json()["slices"]["all"]["rankers"]["published"]["ndcg@10"]["value"] is None
    assert "0 users" in found.table()


def test_the_table_names_slices_rankers_and_misses():
    text = judge([("u", "c", 0), ("u", "zzz", 0), ("new", "a", 0)]).table()
    for words in (
        "published",
        "popularity_7d",
        "NDCG@10",
        "minus",
        "no interaction",
        "coverage@10",
    ):
        assert words in text
    assert "1 of them outside the catalogue (count as misses)" in text


def test_ids_of_another_type_are_refused():
    wrong = pl.DataFrame({"user_id": [1], "item_id": ["a"]})
    rest = {"catalogue": CATALOGUE_FRAME, "exclude_seen": True, "as_of": AS_OF}
    with pytest.raises(SourceError, match="user_id is Int64"):
        evaluate_holdout(rankings(LISTS).lazy(), wrong, history=HISTORY, **rest)


def test_only_positive_interactions_count_as_relevant():
    frame = log([("u", "a", 0), ("u", "b", 0), ("u", "c", 0)]).with_columns(
        event=pl.Series(["buy", "view", "buy"]), rating=pl.Series([5.0, 5.0, 2.0], dtype=pl.Float32)
    )
    rules = CleanConfig(positive_events=("buy",), positive_rating=4)
    assert positive_interactions(frame.lazy(), rules).collect()["item_id"].to_list() == ["a"]
