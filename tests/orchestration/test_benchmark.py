"""The quality board through Prefect: every stage in a lake of its own, nothing published."""

from __future__ import annotations

import json

from flows.benchmark import benchmark
from flows.cli import main
from pwrank.evaluation.board import PRODUCT, WITHOUT_TEXT
from pwrank.evaluation.board_split import board_folder
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


def test_the_command_answers_with_json(world, capsys):
    told = ["benchmark", "--config", str(world.config_file), "--leave-last"]
    assert main([*told, "--baselines", "popularity,ease", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert board["rule"] == "leave-last"
    assert set(board["lists"]) == {PRODUCT, "popularity", "ease"}
    assert board["slices"]["all"]["users"] >= board["slices"]["with_history"]["users"] > 0
