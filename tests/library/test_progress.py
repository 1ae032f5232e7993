"""What a long step shows where no terminal does: a line as it starts, and one each minute."""

from __future__ import annotations

import logging

import pytest

from flows.console import watched
from tasks import progress
from tasks.measuring import measured
from tests.library.tiny_world import AS_OF


@pytest.fixture(autouse=True)
def _told(caplog):
    caplog.set_level(logging.INFO, logger="pwrank")


def test_a_step_tells_its_start_and_a_line_a_minute(capsys, monkeypatch):
    moments = iter((0.0, 30.0, 61.0, 62.0, 200.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(moments))
    with watched("score", "pairs", total=9_000) as advance:
        for _ in range(4):
            advance(1_000)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "score: started",
        "score: 2000 of 9,000 pairs, 61 s",
        "score: 4000 of 9,000 pairs, 200 s",
    ]


def test_on_a_terminal_a_bar_shows_it(capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with watched("score", "pairs", total=2) as advance:
        advance(2)
    told = capsys.readouterr().err
    assert "started" not in told
    assert "score:   0%" in told


def test_a_stage_tells_its_start_and_one_of_many_shards_does_not(tiny_world, caplog):
    run = tiny_world.run()
    with measured(run, "train"):
        assert caplog.messages == ["train: started"]
    with measured(run, "score-00001", noted=False):
        pass
    assert [line.split(":")[0] for line in caplog.messages] == ["train", "train", "score-00001"]


def test_a_plan_tells_what_it_measures(tiny_world, command):
    told = command("plan", "--config", tiny_world.config_file, "--as-of", AS_OF)
    assert told.err.splitlines() == [
        "plan: timing the encoder",
        "plan: timing a small training",
        "plan: timing the scoring",
    ]


def test_other_commands_tell_that_they_work(published_world, command, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("user_id,item_id,rating\nu03,004,4\n", encoding="utf-8")
    night = ("--config", published_world.config_file)
    told = command("score", *night, "--pairs", pairs, "--out", tmp_path / "out.csv")
    assert told.err == "score: started\n"
    assert command("evaluate", *night, "--pairs", pairs).err == "score: started\n"
    assert command("forget", *night, "--user", "u03").err == "forget: started\n"
