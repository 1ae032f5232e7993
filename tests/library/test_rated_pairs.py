"""`pwrank evaluate --pairs`: the heads judged by ratings of the caller's, next to baselines."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from pwrank.datasets import IdTypes
from pwrank.errors import SourceError
from pwrank.evaluation.rated_pairs import METRICS, judge_ratings, ratings_table
from pwrank.evaluation.rating_baselines import chance_of_a_like
from pwrank.lists.pairs import score_pairs
from pwrank.ranker.model_inputs import history_paths
from pwrank.user_files import read_user_file
from tests.library.tiny_world import stage_night

PAIRS = pl.DataFrame(
    {
        "user_id": [f"u{n % 7:02d}" for n in range(40)] + ["stranger", "u01", None],
        "item_id": [f"{n % 19:03d}" for n in range(40)] + ["001", "unheard-of", "001"],
        "rating": [float(1 + n * 7 % 5) for n in range(41)] + [4.0, 3.0],
    }
)


def judged(night, path):
    return judge_ratings(night.run.store, night.run.config, night.refs, path)


def rated_in_the_log(night):
    """Pairs of the histories that have a rating."""
    files = history_paths(night.run.store, night.refs.histories)
    rated = pl.read_parquet(files).drop_nulls("rating")
    return set(rated.select("user_id", "item_id").rows())


@pytest.fixture
def brought(tmp_path):
    def write(frame=PAIRS):
        frame.write_csv(tmp_path / "rated.csv")
        return tmp_path / "rated.csv"

    return write


def test_the_figures_are_those_of_the_scores_that_the_command_gives(night, brought):
    path = brought()
    told = judged(night, path)
    pairs = read_user_file(path, night.run.config, IdTypes())
    heads = score_pairs(night.run.store, night.refs, pairs, heads=True)
    seen = rated_in_the_log(night)
    new = [(user, item) not in seen for user, item, _ in PAIRS.iter_rows()]
    gap = PAIRS["rating"] - heads["rating"].cast(pl.Float64)
    gap = gap.filter(pl.Series(new)).drop_nulls().to_numpy()
    assert told["rankers"]["pwrank"]["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(gap**2)))
    assert told["rankers"]["pwrank"]["mae"]["value"] == pytest.approx(np.abs(gap).mean())
    assert (told["pairs"], told["skipped"], told["users"]) == (34, 1, 8)
    assert told["rated_before"] == 8 == len(PAIRS) - sum(new)


def test_a_value_that_means_none_is_not_judged(night, brought):
    path = brought()
    source = night.run.config.source
    unrated = night.run.config.model_copy(
        update={"source": source.model_copy(update={"unrated": 3.0})}
    )
    told = judge_ratings(night.run.store, unrated, night.refs, path)
    seen = rated_in_the_log(night)
    left = PAIRS.drop_nulls().filter(pl.col("rating") != 3)
    assert told["pairs"] == sum((user, item) not in seen for user, item, _ in left.iter_rows())


def test_pairs_that_training_has_seen_are_left_out_and_refused_where_there_are_no_others(
    night, brought
):
    known = pl.DataFrame(
        [(*pair, 3.0) for pair in sorted(rated_in_the_log(night))],
        schema=PAIRS.schema,
        orient="row",
    )
    told = judged(night, brought(pl.concat([known, PAIRS.tail(3)])))
    assert (told["pairs"], told["rated_before"], told["skipped"]) == (2, len(known), 1)
    assert f"1 rows without id or rating and {len(known)} that the night knew" in ratings_table(
        told
    )
    with pytest.raises(
        SourceError,
        match=rf"each of its {len(known)} rated pairs was rated before {night.run.as_of} ",
    ):
        judged(night, brought(known))


def test_every_ranker_has_every_figure_and_an_interval_around_it(night, brought):
    told = judged(night, brought())
    assert list(told["rankers"]) == ["pwrank", "user + item", "factorisation"]
    for figures in told["rankers"].values():
        assert set(figures) == set(METRICS)
        for name in ("rmse", "mae", "auc", "user_auc", "log_loss"):
            assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
    table = ratings_table(told)
    assert len(table.splitlines()) == 5
    assert "nan" not in table


def test_it_says_the_same_twice(night, brought):
    assert judged(night, brought()) == judged(night, brought())


def test_a_file_without_ratings_is_refused_with_the_columns_it_has(night, brought):
    with pytest.raises(SourceError, match=r"no column 'rating' to judge by .*user_id, item_id"):
        judged(night, brought(PAIRS.drop("rating")))
    with pytest.raises(SourceError, match="no row has a user, an item and a rating"):
        judged(night, brought(PAIRS.with_columns(rating=pl.lit("good"))))


def test_where_the_source_is_said_to_have_no_ratings_there_are_none_to_judge_by(night, brought):
    columns = night.run.config.source.columns.model_copy(update={"rating": ""})
    source = night.run.config.source.model_copy(update={"columns": columns})
    config = night.run.config.model_copy(update={"source": source})
    with pytest.raises(SourceError, match=r'rating = "" under .* says that there are no ratings'):
        judge_ratings(night.run.store, config, night.refs, brought())


def test_one_command_prints_the_table_and_gives_json(published_world, command, brought):
    config = published_world.config_file
    told = command("evaluate", "--config", config, "--pairs", brought())
    assert told.code == 0
    assert "factorisation" in told.out
    assert "liked = rated 5 or more (" in told.out
    with pytest.raises(SystemExit):
        command("evaluate", "--config", config, "--pairs", brought(), "--holdout", brought())


def test_a_baseline_tells_a_users_likes_from_those_of_others_and_rising_with_its_prediction():
    rng = np.random.default_rng(0)
    user, predicted = np.arange(4000) % 200, rng.normal(size=4000)
    chance = 1 / (1 + np.exp(-2 * predicted))
    liked = (rng.random(4000) < chance).astype(float)
    told = chance_of_a_like(predicted, liked, user, 0)
    assert np.abs(told - chance).mean() < 0.03
    turned = np.where(user == 7, 1 - liked, liked)
    again = chance_of_a_like(predicted, turned, user, 0)
    assert np.array_equal(told[user == 7], again[user == 7])
    assert not np.array_equal(told, again)
    # All like what is above 0 but for one who never does: their own labels would tell.
    odd = np.where(user == 7, 0.0, predicted > 0)
    assert chance_of_a_like(predicted, odd, user, 0)[(user == 7) & (predicted > 0.5)].min() > 0.9


def test_of_one_user_alone_a_baseline_has_no_probabilities(night, brought):
    assert np.isnan(chance_of_a_like(np.arange(3.0), np.ones(3), np.zeros(3), 0)).all()
    told = judged(night, brought(PAIRS.filter(pl.col("user_id") == "u01")))
    assert told["rankers"]["factorisation"]["log_loss"]["value"] is None
    assert told["rankers"]["factorisation"]["calibration_error"]["value"] is None
    assert told["rankers"]["pwrank"]["log_loss"]["value"] is not None


def test_a_given_split_in_the_layout_of_movielens_100k_is_learned_and_judged(
    tiny_world, command, tmp_path
):
    folder = tiny_world.folder / "u1"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = [(u, i, 1 + (u + i) % 5, 880_000_000 + n) for n, (u, i) in enumerate(np.ndindex(12, 9))]
    test = rng.permutation(len(rows))[:20].tolist()
    lines = ["\t".join(map(str, row)) for row in rows]
    base = [line for number, line in enumerate(lines) if number not in test]
    (folder / "u.data").write_text("\n".join(base) + "\n")  # u1.base under the usual name
    items = [f"{item}|word{item}|||" + "|0" * 19 for item in range(9)]
    (folder / "u.item").write_text("\n".join(items) + "\n")
    header = "user_id\titem_id\trating\ttimestamp\n"
    (tmp_path / "u1.tsv").write_text(header + "\n".join(lines[n] for n in test) + "\n")
    source = {"kind": "movielens", "folder": "u1"}
    run = tiny_world.run(date(1997, 11, 30), source=source)
    told = judge_ratings(run.store, run.config, stage_night(run).refs, tmp_path / "u1.tsv")
    assert told["pairs"] == 20
