"""List and point-wise metrics against tables worked out by hand, and what holds for any input."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pwrank.evaluation import metrics
from pwrank.evaluation import pointwise_metrics as pointwise
from pwrank.evaluation.metrics import METRICS, list_overlap, ranking_metrics

CUTOFFS = (1, 3, 10)


def rankings(lists):
    rows = [(u, rank, item) for u, items in lists.items() for rank, item in enumerate(items, 1)]
    schema = {"user_id": pl.String, "rank": pl.UInt16, "item_id": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def relevant(pairs):
    rows = [(u, item) for u, items in pairs.items() for item in items]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String}, orient="row")


def of_user(frame, user):
    return frame.row(by_predicate=pl.col("user_id") == user, named=True)


ITEMS = [f"i{n}" for n in range(12)]
USERS = ["u0", "u1", "u2"]
some_lists = st.dictionaries(st.sampled_from(USERS), st.lists(st.sampled_from(ITEMS), unique=True))
some_pairs = st.dictionaries(
    st.sampled_from(USERS),
    st.lists(st.sampled_from(ITEMS), unique=True, min_size=1),
    min_size=1,
)


def test_figures_agree_with_a_table_worked_out_by_hand():
    # Hits at ranks 2 and 4 of 5; three relevant items, of which one was never retrieved.
    found = ranking_metrics(rankings({"u": "abcde"}), relevant({"u": "bdz"}), (1, 3, 10))
    row = of_user(found, "u")
    ideal_3 = 1 + 1 / math.log2(3) + 0.5
    assert row["relevant"] == 3
    assert row["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal_3)
    assert row["ndcg@3"] == pytest.approx((1 / math.log2(3)) / ideal_3)
    assert row["ndcg@1"] == 0
    assert row["recall@3"] == pytest.approx(1 / 3)
    assert row["recall@10"] == pytest.approx(2 / 3)
    assert (row["hit_rate@1"], row["hit_rate@3"]) == (0, 1)
    assert (row["mrr@1"], row["mrr@3"], row["mrr@10"]) == (0, 0.5, 0.5)
    assert row["precision@3"] == pytest.approx(1 / 3)
    assert row["precision@10"] == pytest.approx(0.2)
    assert row["map@10"] == pytest.approx((1 / 2 + 2 / 4) / 3)


def test_recall_divides_by_all_relevant_items_and_ndcg_by_what_k_can_hold():
    row = of_user(ranking_metrics(rankings({"u": "ab"}), relevant({"u": "abcdef"}), (2,)), "u")
    assert row["recall@2"] == pytest.approx(2 / 6)
    assert row["ndcg@2"] == 1
    assert row["map@2"] == 1


def test_a_user_without_a_list_counts_with_zero():
    found = ranking_metrics(rankings({"u": "a"}), relevant({"u": "a", "v": "a"}), (10,))
    assert found["user_id"].to_list() == ["u", "v"]
    assert found["ndcg@10"].to_list() == [1, 0]


def test_an_item_that_stands_twice_counts_once_at_its_better_rank():
    row = of_user(ranking_metrics(rankings({"u": "xaa"}), relevant({"u": "a"}), (10,)), "u")
    assert row["mrr@10"] == 0.5
    assert row["recall@10"] == 1


def test_ranks_not_row_order_decide_and_a_gap_is_kept():
    lists = pl.DataFrame({"user_id": ["u", "u"], "rank": [7, 2], "item_id": ["a", "x"]})
    row = of_user(ranking_metrics(lists, relevant({"u": "a"}), (10,)), "u")
    assert row["mrr@10"] == pytest.approx(1 / 7)


@given(some_lists, some_pairs, st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_never_matters(lists, pairs, random):
    one, other = rankings(lists), relevant(pairs)
    shuffled = [
        frame[random.sample(range(frame.height), frame.height)] if frame.height else frame
        for frame in (one, other)
    ]
    assert ranking_metrics(one, other, CUTOFFS).equals(ranking_metrics(*shuffled, CUTOFFS))


@given(some_lists, some_pairs)
@settings(max_examples=40, deadline=None)
def test_figures_lie_between_zero_and_one_and_hits_only_grow_with_k(lists, pairs):
    found = ranking_metrics(rankings(lists), relevant(pairs), CUTOFFS)
    assert sorted(pairs) == found["user_id"].to_list()
    for name in METRICS:
        values = found.select(f"{name}@{k}" for k in CUTOFFS).to_numpy()
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-12
        if name in ("recall", "hit_rate", "mrr"):
            assert (np.diff(values, axis=1) >= 0).all()


@given(some_pairs, st.lists(st.sampled_from(ITEMS), unique=True))
@settings(max_examples=40, deadline=None)
def test_a_perfect_list_scores_one(pairs, rest):
    perfect = {
        user: [*items, *(i for i in rest if i not in items)] for user, items in pairs.items()
    }
    found = ranking_metrics(rankings(perfect), relevant(pairs), CUTOFFS)
    best = found.select(f"{name}@{k}" for name in ("ndcg", "map", "mrr") for k in CUTOFFS)
    assert np.allclose(best.to_numpy(), 1)


def test_rankings_may_be_a_scan_of_many_files(tmp_path):
    lists = rankings({"u": "abc", "v": "cab"})
    for user in "uv":
        lists.filter(pl.col("user_id") == user).write_parquet(tmp_path / f"{user}.parquet")
    pairs = relevant({"u": "c", "v": "b"})
    scanned = ranking_metrics(pl.scan_parquet(tmp_path / "*.parquet"), pairs)
    assert scanned.equals(ranking_metrics(lists, pairs))


def test_bootstrap_repeats_with_its_seed_and_covers_the_standard_error():
    values = np.random.default_rng(1).normal(0.3, 0.1, size=(400, 2))
    first = metrics.bootstrap_means(values, np.random.default_rng(5))
    assert first.shape == (metrics.RESAMPLES, 2)
    assert np.array_equal(first, metrics.bootstrap_means(values, np.random.default_rng(5)))
    low, high = metrics.interval(first)
    wanted = 2 * 1.96 * values.std(axis=0) / np.sqrt(400)
    assert (high - low) == pytest.approx(wanted, rel=0.15)
    assert (low < values.mean(axis=0)).all()
    assert (values.mean(axis=0) < high).all()


def test_bootstrap_does_not_depend_on_how_many_draws_are_held_at_once(monkeypatch):
    values = np.random.default_rng(1).random((50, 3))
    whole = metrics.bootstrap_means(values, np.random.default_rng(2), resamples=40)
    monkeypatch.setattr(metrics, "_CELLS_PER_DRAW", 120)
    parts = metrics.bootstrap_means(values, np.random.default_rng(2), resamples=40)
    assert np.allclose(whole, parts)


def test_a_constant_difference_has_an_interval_without_width():
    values = np.random.default_rng(1).random((60, 1))
    drawn = metrics.bootstrap_means(np.hstack([values + 0.1, values]), np.random.default_rng(0))
    low, high = metrics.interval(drawn[:, :1] - drawn[:, 1:])
    assert low == pytest.approx([0.1])
    assert high == pytest.approx([0.1])


def test_coverage_and_gini_of_equal_and_of_lonely_exposure():
    assert metrics.coverage(np.array([3, 0, 1, 0])) == 0.5
    assert metrics.gini(np.array([2, 2, 2, 2])) == pytest.approx(0)
    assert metrics.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert metrics.gini(np.array([1, 3])) == pytest.approx(0.25)
    assert math.isnan(metrics.gini(np.array([0, 0])))


def test_novelty_is_the_mean_surprise_of_what_is_shown():
    # (3 + 1) / (4 + 4) = 1/2: one bit; (0 + 1) / 8: three bits.
    interactions = np.array([3, 1, 0, 0])
    assert metrics.novelty(np.array([5, 0, 0, 0]), interactions) == pytest.approx(1)
    assert metrics.novelty(np.array([1, 0, 1, 0]), interactions) == pytest.approx(2)


def test_diversity_is_one_minus_the_mean_cosine_of_pairs():
    vectors = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [1, 0], [-1, 0], [0, 1]], np.float32)
    found = metrics.intra_list_diversity(np.array([0, 0, 1, 1, 3, 3, 4]), vectors)
    assert found[[0, 1, 3]] == pytest.approx([1, 0, 2])
    assert np.isnan(found[[2, 4]]).all()


def test_overlap_of_equal_disjoint_and_swapped_lists():
    first = rankings({"same": "abc", "other": "abc", "swapped": "ab", "alone": "a"})
    second = rankings({"same": "abc", "other": "xyz", "swapped": "ba"})
    found = list_overlap(first, second, k=10)
    assert found["user_id"].to_list() == ["other", "same", "swapped"]
    assert found["jaccard"].to_list() == [0, 1, 1]
    # Swapped: X_1 = 0, X_2 = 2: 2/2 p^2 + (1-p)/p (0 + 2/2 p^2) with p = .9
    assert found["rbo"].to_list() == pytest.approx([0, 1, 0.81 + 0.1 * 0.9])


@given(some_lists, some_lists)
@settings(max_examples=40, deadline=None)
def test_overlap_is_symmetric_and_between_zero_and_one(lists, others):
    there = list_overlap(rankings(lists), rankings(others), k=5)
    back = list_overlap(rankings(others), rankings(lists), k=5)
    assert np.allclose(there.drop("user_id").to_numpy(), back.drop("user_id").to_numpy())
    for column in ("rbo", "jaccard"):
        assert there[column].is_between(0, 1 + 1e-9).all()


def test_calibration_error_is_zero_for_true_probabilities_and_the_gap_otherwise():
    probabilities = np.repeat([0.2, 0.6], 500)
    labels = np.concatenate([np.arange(500) < 100, np.arange(500) < 300]).astype(float)
    table = pointwise.reliability(labels, probabilities)
    assert table["rows"].sum() == 1000
    assert pointwise.calibration_error(table) == pytest.approx(0)
    bold = pointwise.reliability(labels, np.clip(probabilities + 0.1, 0, 1))
    assert pointwise.calibration_error(bold) == pytest.approx(0.1)


def test_calibration_noise_is_what_true_probabilities_show_by_chance():
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.05, 0.95, size=(200, 600))
    tables = [pointwise.reliability(rng.random(600) < row, row) for row in chance]
    noise = np.mean([pointwise.calibration_noise(table) for table in tables])
    assert noise == pytest.approx(np.mean([*map(pointwise.calibration_error, tables)]), rel=0.05)
    assert math.isnan(pointwise.calibration_noise(tables[0].head(0)))


def test_reliability_has_fifteen_bins_of_equal_mass():
    probabilities = np.random.default_rng(0).random(3000)
    table = pointwise.reliability(np.zeros(3000), probabilities)
    assert table["rows"].to_list() == [200] * 15
    assert table["predicted"].is_sorted()


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), min_size=1), st.randoms()
)
@settings(max_examples=40, deadline=None)
def test_reliability_does_not_depend_on_the_order_of_rows(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    tables = [
        pointwise.reliability([y for _, y in p], [s for s, _ in p]) for p in (pairs, shuffled)
    ]
    assert tables[0].equals(tables[1])


def test_log_loss_of_a_coin_is_log_two_and_of_a_wrong_certainty_is_finite():
    assert pointwise.log_loss([0, 1], [0.5, 0.5]) == pytest.approx(math.log(2))
    assert math.isfinite(pointwise.log_loss([1], [0.0]))


def test_auc_counts_pairs_in_order_and_ties_as_half():
    assert pointwise.auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == pytest.approx(0.75)
    assert pointwise.auc([0, 1], [0.5, 0.5]) == pytest.approx(0.5)
    assert math.isnan(pointwise.auc([1, 1], [0.1, 0.2]))


def test_shares_of_users_tell_what_the_auc_is_among_users_drawn_again():
    rng = np.random.default_rng(3)
    user = rng.integers(0, 150, 3000)
    label = (rng.random(3000) < 0.3 + 0.3 * (user % 2)).astype(float)
    score = np.round(label + user % 2 + rng.normal(0, 1.5, 3000), 1)  # ties, and users that differ
    pairs = pl.DataFrame({"user_id": user, "label": label, "score": score})
    shares = pointwise.auc_shares(pairs)
    assert shares["user_id"].to_list() == sorted(set(user.tolist()))
    assert shares["share"].sum() == pytest.approx(0, abs=1e-12)
    rows, whole = {u: np.flatnonzero(user == u) for u in range(150)}, pointwise.auc(label, score)
    drawn = rng.integers(0, 150, (300, 150))
    told = [whole + shares["share"].to_numpy()[users].sum() for users in drawn]
    again = [np.concatenate([rows[u] for u in users]) for users in drawn]
    exact = [pointwise.auc(label[chosen], score[chosen]) for chosen in again]
    assert np.std(np.subtract(told, exact)) < 0.1 * np.std(exact)
    assert np.quantile(told, [0.025, 0.975]) == pytest.approx(
        np.quantile(exact, [0.025, 0.975]), abs=0.1 * np.std(exact)
    )
    one_class = pointwise.auc_shares(pairs.with_columns(label=pl.lit(1.0)))["share"]
    assert one_class.is_nan().all()


def test_user_auc_leaves_out_users_with_one_class():
    pairs = pl.DataFrame(
        {"user_id": list("aabbc"), "label": [0, 1, 1, 0, 1], "score": [0.1, 0.9, 0.2, 0.3, 0.5]}
    )
    assert pointwise.user_auc(pairs).rows() == [("a", 1.0), ("b", 0.0)]


def test_rmse_weighs_large_errors_more_than_mae():
    assert pointwise.rmse([1, 2], [1, 5]) == pytest.approx(math.sqrt(4.5))
    assert pointwise.mae([1, 2], [1, 5]) == 1.5
    assert math.isnan(pointwise.rmse([], []))
