"""The quality board through Prefect: every stage in a lake of its own, nothing published."""

from __future__ import annotations

import json

from flows.benchmark import benchmark
from flows.cli import main
from pwrank.evaluation.board import PRODUCT, WITHOUT_TEXT
from pwrank.evaluation.board_split import board_folder
from pwrank.evaluation.variants import DIALS, Form
from pwrank.publication import published_dates
from pwrank.store import Store


def test_a_board_leaves_the_users_lake_alone_and_a_second_one_trains_nothing(world):
    config = world.configure()
    before = world.config_file.read_bytes()
    board = benchmark(world.config_file, 2, ["popularity"], ablations=True)
    assert set(board.lists) == {PRODUCT, WITHOUT_TEXT, "popularity"}
    assert not config.lake.exists()
    assert world.config_file.read_bytes() == before
    (split,) = board_folder(config).glob("holdout-days-2-*")
    lake = Store(split / "lake")
    assert published_dates(lake) == []
    models = [ref.key for ref in lake.refs("models")]
    assert len(models) == 2
    again = benchmark(world.config_file, 2, ["popularity"], ablations=True)
    assert again.to_json() == board.to_json()
    assert [ref.key for ref in lake.refs("models")] == models


def test_seeds_are_trained_and_dials_are_turned_on_one_model(world):
    board = benchmark(world.config_file, 2, ["popularity"], seeds=2, dials=True)
    turned = {name for name, form in board.forms.items() if form is Form.TURNED_DIAL}
    assert set(board.lists) == {PRODUCT, "seed 1", "popularity", *turned}
    assert turned == {f"{d} {v:g}" for d, vs in DIALS.items() for v in vs} - {"explore 0.15"}
    (split,) = board_folder(world.configure()).glob("holdout-days-2-*")
    assert len(Store(split / "lake").refs("models")) == 2
    table = board.table()
    assert "over 2 seeds: ndcg@10 mean" in table
    assert "minus seed" not in table
    rows = [line.split() for line in table.splitlines()]
    places = [n for n, row in enumerate(rows) if row[:1] == ["[rerank]"]]
    head = rows[places[0]]
    assert head[1:] == [
        "NDCG@10", "recall@20", "coverage@10", "gini@10", "novelty@10", "diversity@10",
        "recall@20", "cold",
    ]  # fmt: skip
    assert len([row for row in rows if row and row[0] in DIALS]) == len(turned)
    assert board.lists["novelty 0.7"]["novelty@10"] >= board.lists[PRODUCT]["novelty@10"]
    assert board.lists["diversity 0.7"]["diversity@10"] >= board.lists[PRODUCT]["diversity@10"]


def test_the_command_answers_with_json(world, capsys):
    told = ["benchmark", "--config", str(world.config_file), "--leave-last"]
    assert main([*told, "--baselines", "popularity,ease", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert board["rule"] == "leave-last"
    assert set(board["lists"]) == {PRODUCT, "popularity", "ease"}
    assert board["slices"]["all"]["users"] >= board["slices"]["with_history"]["users"] > 0


def test_a_log_too_short_to_tune_on_is_refused_before_anything_is_trained(world, capsys):
    told = ["benchmark", "--config", str(world.config_file), "--holdout-days", "5"]
    assert main([*told, "--baselines", "popularity"]) == 2
    assert "too short a log to tune the baselines" in capsys.readouterr().err
    (split,) = board_folder(world.configure()).glob("holdout-days-5-*")
    assert not (split / "lake" / "models").exists()
