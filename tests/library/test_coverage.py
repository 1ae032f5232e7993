"""The dial `coverage`: what anybody would be told leaves the order, not the score."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from pwrank.lists import coverage
from pwrank.lists.coverage import newcomer_logits
from pwrank.lists.pairs import add_scores
from pwrank.score import load_scorer
from pwrank.user_files import read_user_file, write_user_file
from tests.library.tiny_world import stage_night

WHOLE = {"k": 50, "candidates": 50}


def told_to_a_newcomer(night, folder) -> dict[str, float]:
    """Log odds of each item with a user whom nobody knows, by way of `pwrank score`."""
    items = night.rankings["item_id"].unique().sort()
    write_user_file(pl.DataFrame({"item_id": items, "user_id": "nobody"}), folder / "pairs.csv")
    pairs = read_user_file(folder / "pairs.csv", night.run.config, night.run.store.id_types())
    told = add_scores(night.run.store, night.refs, pairs, heads=False)
    return dict(zip(told["item_id"], logit(told["score"].cast(pl.Float64)), strict=True))


@pytest.mark.parametrize("dial", [0.5, 1.0])
def test_lists_are_ordered_by_what_is_left_without_what_a_newcomer_is_told(
    trained_world, tmp_path, dial
):
    night = stage_night(trained_world.run(score=WHOLE, rerank={"explore": 0, "coverage": dial}))
    common = told_to_a_newcomer(night, tmp_path)
    left = night.rankings.with_columns(
        pl.col("score").cast(pl.Float64).log()
        - (1 - pl.col("score").cast(pl.Float64)).log()
        - dial * pl.col("item_id").replace_strict(common)
    )
    falling = left.select((pl.col("score").diff() <= 1e-4).over("user_id")).to_series()
    assert falling.drop_nulls().all()
    night.publish()


def test_scores_and_items_stay_as_they_are(trained_world):
    plain, turned = (
        stage_night(trained_world.run(score=WHOLE, rerank={"explore": 0, "coverage": dial}))
        for dial in (0.0, 1.0)
    )
    told = ["user_id", "item_id", "score", "source"]
    assert turned.rankings.select(told).sort(told).equals(plain.rankings.select(told).sort(told))
    assert not turned.rankings["item_id"].equals(plain.rankings["item_id"])


def test_more_of_the_catalogue_is_shown_as_the_dial_is_turned(trained_world):
    shown = [
        stage_night(trained_world.run(score={"k": 4}, rerank={"explore": 0, "coverage": dial}))
        .rankings["item_id"]
        .n_unique()
        for dial in (0.0, 1.0)
    ]
    assert shown[0] < shown[1]


def test_pieces_of_the_catalogue_do_not_change_what_a_newcomer_is_told(night, monkeypatch):
    scorer = load_scorer(night.run.store.lake, night.refs)
    whole = newcomer_logits(scorer.night, len(scorer.items.known))
    monkeypatch.setattr(coverage, "ITEMS_AT_ONCE", 3)
    pieces = newcomer_logits(scorer.night, len(scorer.items.known))
    np.testing.assert_array_equal(pieces, whole)
