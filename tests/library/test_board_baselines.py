"""Tuning on a split inside the training rows, and the baselines that only the board has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pwrank.errors import InputError
from pwrank.evaluation import sasrec, tuning
from pwrank.evaluation.known_log import KnownLog, SplitRule, inner_split
from pwrank.evaluation.sasrec import epochs_affordable, fit_sasrec
from pwrank.evaluation.tuning import FAMILIES, fits_planned, tune_baselines
from pwrank.evaluation.vector_baselines import bpr, ials, text_only

END = date(2024, 3, 1)
LEAVE_LAST = SplitRule(None)


def log_of(rows, items, **options):
    """Rows of (user, item, days before the end), each user's in their order."""
    midnight = datetime(END.year, END.month, END.day, tzinfo=UTC)
    frame = pl.DataFrame(
        [(u, i, midnight - timedelta(days=days)) for u, i, days in rows],
        {"user_id": pl.String, "item_id": pl.String, "occurred_at": pl.Datetime("us", "UTC")},
        orient="row",
    )
    frame = frame.sort("user_id", maintain_order=True)
    return KnownLog(frame, pl.Series("item_id", items), END, exclude_seen=True, **options)


def first_items(baseline, users, k=1):
    lists = baseline.rank(pl.Series(users), k=k)
    grouped = lists.group_by("user_id", maintain_order=True).agg("item_id")
    return ["".join(items) for items in grouped["item_id"].to_list()]


TWO_TASTES = log_of(
    [(f"{taste}{n}", item, 9 - place)
     for taste in ("abcd", "wxyz") for n in range(8)
     for place, item in enumerate(taste[:3] if n else taste[:2])],
    [*"abcd", *"wxyz"],
)  # fmt: skip


# --- the inner split ---------------------------------------------------------------------------


def test_the_last_days_of_the_training_rows_are_held_out_again():
    log = log_of([("u", "a", 9), ("u", "b", 3), ("u", "c", 2), ("v", "a", 1), ("u", "a", 1)], "abc")
    fit, pairs = inner_split(log, SplitRule(2))
    assert fit.rows.select("user_id", "item_id").rows() == [("u", "a"), ("u", "b")]
    assert fit.end == date(2024, 2, 28)
    assert pairs.rows() == [("u", "c")]  # a is seen, v has no history
    again = inner_split(replace(log, exclude_seen=False), SplitRule(2))[1]
    assert again.rows() == [("u", "a"), ("u", "c")]


def test_the_last_training_row_of_each_user_is_held_out_again():
    log = log_of([("u", "a", 9), ("u", "b", 3), ("v", "a", 1), ("w", "b", 2), ("w", "c", 1)], "abc")
    fit, pairs = inner_split(log, LEAVE_LAST)
    assert fit.rows.select("user_id", "item_id").rows() == [("u", "a"), ("w", "b")]
    assert fit.end == END
    assert pairs.rows() == [("u", "b"), ("w", "c")]


@pytest.mark.parametrize(("rule", "told"), [(SplitRule(5), "fewer days"), (LEAVE_LAST, "three")])
def test_too_short_a_log_to_tune_says_so(rule, told):
    with pytest.raises(InputError, match=f"too short a log to tune the baselines: .*{told}"):
        inner_split(log_of([("u", "a", 9), ("v", "a", 1)], "ab"), rule)


# --- tuning ------------------------------------------------------------------------------------


def test_the_window_that_fits_the_world_is_chosen_and_counted_from_the_end():
    """Every day has an item of its own that everybody takes; yesterday's is not today's."""
    rows = [(f"u{n}", f"{day:02d}", day) for n in range(6) for day in range(1, 20) if (n + day) % 2]
    log = log_of(rows, [f"{day:02d}" for day in range(1, 20)])
    found, _ = tune_baselines(log, SplitRule(1), ["recent_popularity"])
    tuned = found["recent_popularity"]
    assert tuned.compared == 7
    fit, pairs = inner_split(log, SplitRule(1))
    figures = {}
    for settings in FAMILIES["recent_popularity"].grid:
        lists = (
            FAMILIES["recent_popularity"]
            .fit(fit, **settings)
            .rank(pairs["user_id"].unique().sort(), k=10)
        )
        figures[settings["days"]] = tuning.metrics.ranking_metrics(lists, pairs, [10])[
            "ndcg@10"
        ].mean()
    assert tuned.validation == pytest.approx(max(figures.values()))
    assert figures[tuned.settings["days"]] == pytest.approx(max(figures.values()))
    (newest,) = first_items(tuned.baseline, ["nobody"])
    assert newest == "01"


def test_the_chosen_setting_is_fitted_on_all_training_rows():
    found, _ = tune_baselines(TWO_TASTES, LEAVE_LAST, ["item_knn"])
    assert found["item_knn"].baseline.history.matrix.nnz == TWO_TASTES.rows.height


def test_progress_comes_to_what_was_planned():
    names, told = ["popularity", "recent_popularity", "item_knn", "text_only"], []
    log = replace(TWO_TASTES, vectors=np.eye(8, dtype=np.float32))
    tune_baselines(log, LEAVE_LAST, names, progress=told.append)
    assert sum(told) == fits_planned(names)


def test_what_cannot_be_had_is_skipped_with_the_reason(monkeypatch):
    timeless = TWO_TASTES.rows.with_columns(occurred_at=datetime(1970, 1, 1, tzinfo=UTC))
    log = replace(TWO_TASTES, rows=timeless.cast({"occurred_at": pl.Datetime("us", "UTC")}))
    monkeypatch.setattr(tuning, "FACTOR_CELLS", 64)
    monkeypatch.setattr(sasrec, "MOST_WORK", 1.0)
    names = ["recent_popularity", "ials", "sasrec", "text_only", "popularity"]
    found, skipped = tune_baselines(log, LEAVE_LAST, names)
    assert list(found) == ["popularity"]
    assert skipped["recent_popularity"] == "the interactions have no times"
    assert skipped["text_only"] == "the items have no text"
    assert skipped["ials"] == "24 users and items are more than 1"
    assert skipped["sasrec"].startswith("a full softmax over 8 items for 46 interactions takes")


def test_a_catalogue_whose_texts_are_all_empty_has_no_text():
    log = replace(TWO_TASTES, vectors=np.zeros((8, 4), np.float32))
    found, skipped = tune_baselines(log, LEAVE_LAST, ["text_only"])
    assert (found, skipped) == ({}, {"text_only": "the items have no text"})


def test_ease_knows_so_many_items_at_most(monkeypatch):
    monkeypatch.setattr(tuning, "TUNING_ITEMS", 4)
    baseline = tuning._ease(TWO_TASTES, regularisation=1.0, most=5)
    assert len(baseline.history.items) == 5


# --- the baselines -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fit",
    [
        lambda log: ials(log, factors=4, regularisation=0.1, alpha=10.0),
        lambda log: bpr(log, factors=4, learning_rate=0.1, regularisation=0.001),
    ],
    ids=["ials", "bpr"],
)
def test_factors_put_first_what_was_taken_together(fit):
    pytest.importorskip("implicit")
    one, again = fit(TWO_TASTES), fit(TWO_TASTES)
    assert first_items(one, ["abcd0", "wxyz0"]) == ["c", "y"]
    assert np.array_equal(one.users, again.users)
    assert first_items(one, ["nobody"], k=2) == ["ab"]  # the popular ones


def test_text_only_looks_for_the_text_of_the_last_items():
    turn = np.float32([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    log = log_of([("u", "a", 3), ("u", "a", 2), ("u", "c", 1), ("v", "c", 1)], "abcd", vectors=turn)
    assert first_items(text_only(log, last=1, centred=False), ["u", "v"]) == ["d", "d"]
    assert first_items(text_only(log, last=0, centred=False), ["u"]) == ["b"]
    assert first_items(text_only(log, last=20, centred=True), ["u"]) == ["b"]


def circle(users=60, items=12, length=6):
    names = [f"{number:02d}" for number in range(items)]
    rows = [
        (f"u{user:02d}", names[(user + step) % items], 30 - step)
        for user in range(users)
        for step in range(length)
    ]
    return log_of(rows, names)


def test_sasrec_learns_an_order_that_popularity_cannot_know():
    log = circle()
    model, epochs = fit_sasrec(log, epochs=30)
    assert epochs == 30
    users = [f"u{user:02d}" for user in range(12)]
    wanted = [f"{(user + 6) % 12:02d}" for user in range(12)]
    found = first_items(model, users)
    assert sum(f == w for f, w in zip(found, wanted, strict=True)) >= 11
    again, _ = fit_sasrec(log, epochs=30)
    assert np.array_equal(model.users, again.users)


def test_sasrec_stops_where_validation_is_best():
    told = iter([0.1, 0.3, 0.2, 0.1, 0.9])
    log = circle(users=12)
    lists, epochs = fit_sasrec(log, epochs=9, judge=lambda _lists: next(told))
    assert epochs == 2
    assert next(told) == 0.9  # two epochs without a better one were enough
    assert np.array_equal(lists.users, fit_sasrec(log, epochs=2)[0].users)


def test_sasrec_reads_the_newest_interactions_and_bounds_its_work(monkeypatch):
    monkeypatch.setattr(sasrec, "LENGTH", 3)
    known = sasrec.sequences(log_of([("u", i, 9) for i in "abcde"] + [("v", "a", 1)], "abcde"))
    items = log_of([("u", i, 9) for i in "abcde"] + [("v", "a", 1)], "abcde").matrix.items
    assert "".join(items[place] for place in known.item[:3].tolist()) == "cde"
    assert known.offsets.tolist() == [0, 3, 4]
    log = circle(users=12)
    assert epochs_affordable(log) == 30
    monkeypatch.setattr(sasrec, "USUAL_WORK", 1.0)
    assert epochs_affordable(log) == 5
    monkeypatch.setattr(sasrec, "MOST_WORK", 1.0)
    assert epochs_affordable(log) == 0
