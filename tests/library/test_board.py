"""The board: who wins where it must, what tuning may see, what is said and as what."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from pwrank.encoder.parts import read_embeddings
from pwrank.errors import ConfigError, InputError
from pwrank.evaluation import tuning
from pwrank.evaluation.ablation import blank_embeddings
from pwrank.evaluation.board import PRODUCT, WITHOUT_TEXT
from pwrank.evaluation.board_judging import judge_board, read_known_log
from pwrank.evaluation.board_split import BoardSplit
from pwrank.evaluation.known_log import SplitRule
from pwrank.evaluation.tuning import chosen_names
from pwrank.evaluation.variants import Form, ProductLists
from pwrank.run import cut_of
from tests.library.tiny_world import AS_OF

CHEAP = ["popularity", "recent_popularity", "item_knn"]


@pytest.fixture
def judged(night, tmp_path):
    """Judge the lists of the tiny night by planted rows `user, item`."""

    def judge(pairs, names=CHEAP, rule=None, staged=None):
        rule = rule or SplitRule(1)
        end = AS_OF + timedelta(days=rule.days or 0)
        split = BoardSplit(rule, end, tmp_path, len(pairs), has_times=True, in_order=True)
        pl.DataFrame(pairs, ["user_id", "item_id"], orient="row").write_parquet(split.held_out)
        lists = staged or forms(night.staged, {})
        return judge_board(night.run, split, night.refs, lists, names)

    return judge


@pytest.fixture
def log(night):
    return read_known_log(night.run, night.refs)


def forms(staged, others):
    """The same lists as those of the product as configured, and in other forms by name."""
    kinds = {PRODUCT: Form.AS_CONFIGURED, **others}
    return {name: ProductLists(form, staged) for name, form in kinds.items()}


def unseen_popular(log, place=0):
    """For each user the most popular item that is new to them."""
    lists = tuning.FAMILIES["popularity"].fit(log).rank(log.matrix.users, k=place + 1)
    return lists.filter(pl.col("rank") == place + 1).select("user_id", "item_id").rows()


def figure(board, name, part="with_history", metric="ndcg@10"):
    return board.slices[part].rankers[name][metric].value


def test_the_baseline_that_must_win_wins(judged, log):
    board = judged(unseen_popular(log))
    assert figure(board, "popularity") == 1
    assert board.best_baseline == "popularity"
    assert board.slices["with_history"].users == len(log.matrix.users)
    lost = board.slices["with_history"].differences["popularity"]["ndcg@10"]
    assert lost.value == pytest.approx(figure(board, PRODUCT) - 1)
    assert "? No: it has" in board.answer
    assert f"difference {lost.value:+.4f} [{lost.low:+.4f}, {lost.high:+.4f}]" in board.answer


def test_the_product_wins_where_its_own_first_items_are_what_comes(judged, night):
    first = night.rankings.filter(pl.col("rank") == 1).select("user_id", "item_id").rows()
    board = judged(first)
    assert figure(board, PRODUCT) == 1
    assert "? Yes: it has NDCG@10 1.0000" in board.answer


def test_a_draw_is_no_answer(judged, log):
    nobody_finds = [(user, "019") for user in log.matrix.users]  # not available
    board = judged(nobody_finds)
    assert figure(board, PRODUCT) == 0
    assert "? It cannot be told: " in board.answer


def test_what_is_held_out_changes_no_setting(judged, log):
    one, other = judged(unseen_popular(log)), judged(unseen_popular(log, place=4))
    assert one.tuning == other.tuning
    assert one.best_baseline == "popularity"
    assert figure(one, "popularity") != figure(other, "popularity")


def test_users_without_a_history_count_among_all_users_only(judged, log):
    board = judged([*unseen_popular(log), ("nobody", log.matrix.items[0])])
    sizes = {name: part.users for name, part in board.slices.items()}
    users = len(log.matrix.users)
    assert (sizes["with_history"], sizes["new_users"], sizes["all"]) == (users, 1, users + 1)
    assert figure(board, "popularity", "new_users") == 1
    assert figure(board, PRODUCT, "new_users") == 0  # it has no list in this night
    assert f"all {users + 1} users, 1 of them without a history" in board.table()


def test_cold_parts_are_counted_before_the_cut(judged, log):
    counts = dict(log.rows.group_by("item_id").len().iter_rows())
    often = dict(log.rows.group_by("user_id").len().iter_rows())
    pairs = unseen_popular(log, place=7)
    board = judged(pairs)
    assert board.slices["cold_items"].relevant == sum(counts.get(i, 0) <= 5 for _, i in pairs)
    assert board.slices["cold_users"].relevant == sum(often[u] <= 5 for u, _ in pairs)


def test_the_json_is_all_there_and_has_no_nan(judged, log):
    board = judged(unseen_popular(log), staged=None)
    told = json.loads(json.dumps(board.to_json(), allow_nan=False))
    assert set(told) == {
        "held_out", "rule", "as_of", "exclude_seen", "account", "slices", "lists", "tuning",
        "skipped", "best_baseline", "answer",
    }  # fmt: skip
    assert set(told["lists"]) == {PRODUCT, *CHEAP}
    assert set(told["slices"]["with_history"]["differences"]) == set(CHEAP)
    assert set(told["slices"]["cold_items"]["rankers"][PRODUCT]["recall@20"]) == {
        "value", "low", "high",
    }  # fmt: skip
    assert told["tuning"]["recent_popularity"]["settings_compared"] == 7
    assert told["tuning"]["popularity"] == {
        "settings": {}, "validation_ndcg@10": None, "settings_compared": 1,
    }  # fmt: skip
    assert told["account"]["holdout_rows"] == told["account"]["relevant"]


def test_the_table_tells_all_rows_differences_and_settings(judged, log):
    text = judged(unseen_popular(log)).table()
    for words in (
        "coverage@10",
        "Gini@10",
        "recall@20: cold items (n=",
        "minus item_knn",
        "best of 7",
        "hit@10",
    ):
        assert words in text
    assert text.splitlines()[-1].startswith("Does pwrank beat the best baseline? ")
    assert text.endswith("Does the large model help on this catalogue? --ablations tells.")
    assert "MRR@10" in judged(unseen_popular(log), rule=SplitRule(None)).table()


def test_the_ablation_has_a_row_and_a_sentence(judged, night, log):
    board = judged(
        unseen_popular(log), staged=forms(night.staged, {WITHOUT_TEXT: Form.WITHOUT_TEXT})
    )
    assert board.best_baseline == "popularity"
    nothing = "+0.0000 [+0.0000, +0.0000]"
    told = f"It cannot be told: its text adds {nothing} NDCG@10, {nothing} recall@20"
    assert f"Does the large model help on this catalogue? {told}" in board.answer
    assert f"minus {WITHOUT_TEXT}" in board.table()


def test_a_form_of_the_product_is_told_by_its_field_and_not_by_its_name(judged, night, log):
    staged = forms(night.staged, {"by 3": Form.TURNED_DIAL, "diversity": Form.OTHER_SEED})
    board = judged(unseen_popular(log), staged=staged)
    head, table = board.table().split("[rerank]")
    assert "\nby 3 " in table
    assert "by 3 " not in head
    assert "\ndiversity " in head
    assert "over 2 seeds: ndcg@10 mean" in head
    assert "minus by 3" not in head
    assert "minus diversity" not in head
    assert board.best_baseline == "popularity"


def test_blank_embeddings_say_the_same_of_every_text(trained_world):
    run = trained_world.run()
    store = run.store
    (catalogue,), (real,) = store.refs("catalogue"), store.refs("embeddings")
    blank = blank_embeddings(run, catalogue, real)
    hashes = pl.read_parquet(catalogue.file_paths(store.lake))["content_hash"].to_list()
    vectors = read_embeddings(store, blank, hashes)
    assert vectors.shape == read_embeddings(store, real, hashes).shape
    assert (vectors == vectors[0]).all()
    assert np.linalg.norm(vectors[0]) == 1
    assert blank.figures["encoder"] != real.figures["encoder"]
    assert blank_embeddings(run, catalogue, real).reused


def test_without_implicit_its_baselines_are_named_with_the_remedy(judged, log, monkeypatch):
    monkeypatch.setattr(tuning, "has_implicit", lambda: False)
    board = judged(unseen_popular(log), ["popularity", "ials", "bpr"])
    assert set(board.lists) == {PRODUCT, "popularity"}
    assert set(board.skipped) == {"ials", "bpr"}
    assert "ials: skipped, the library `implicit` is not installed; `pip install" in board.table()


def test_nobody_to_judge_is_an_error(judged):
    with pytest.raises(InputError, match="no user with a history has anything to find"):
        judged([("nobody", "001")])


def test_baselines_are_named_in_the_order_of_the_board():
    assert chosen_names(["ease", "popularity"]) == ["popularity", "ease"]
    assert chosen_names(None) == list(tuning.FAMILIES)
    with pytest.raises(ConfigError, match="--baselines bogus: choose from popularity, "):
        chosen_names(["ease", "bogus"])


def test_the_run_and_the_baselines_know_the_same(night, log):
    assert log.rows.height == night.known.histories.rows
    assert log.rows["occurred_at"].max() < cut_of(AS_OF, "UTC")
    assert "019" not in log.items.to_list()  # not available
    assert len(log.vectors) == len(log.items)


@pytest.mark.parametrize("kind", [[], ["--holdout-days", "2", "--leave-last"]])
def test_one_split_must_be_asked_for(command, kind, capsys):
    with pytest.raises(SystemExit) as stopped:
        command("benchmark", *kind)
    assert stopped.value.code == 2


def test_the_command_refuses_an_unknown_baseline(command, tiny_world):
    told = command(
        "benchmark", "--config", tiny_world.config_file, "--leave-last", "--baselines", "bogus"
    )
    assert told.code == 2
    assert "choose from popularity" in told.err
