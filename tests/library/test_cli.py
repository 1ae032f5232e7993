"""The commands that need no Prefect, as a person and as a program would call them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys

import polars as pl
import pytest

from flows import cli
from pwrank.config_file import load_config
from pwrank.errors import DateHeldError, GateRefusedError
from pwrank.report.night import write_night_report
from tests.library.tiny_world import AS_OF, World, stage_night


@pytest.fixture(autouse=True)
def _signals_as_before():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def world(published_world, tmp_path) -> World:
    """A published night of one's own."""
    shutil.copytree(published_world.folder, tmp_path / "world")
    return World(tmp_path / "world", published_world.model)


@pytest.fixture
def answer(command, world):
    """What a command on the published night prints."""

    def run(name, *arguments) -> str:
        told = command(name, "--config", world.config_file, *arguments)
        assert told.code == 0, told.err
        return told.out

    return run


def test_help_loads_no_heavy_library():
    code = (
        "import sys, flows.cli\n"
        "try: flows.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'prefect', 'torch', 'polars', 'transformers', 'faiss', 'pydantic'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.rstrip().endswith("HEAVY []")
    assert all(name in told.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(capsys, name):
    with pytest.raises(SystemExit) as left:
        cli.main([name, "--help"])
    assert left.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_no_command_prints_the_help_and_is_a_usage_error(capsys):
    assert cli.main([]) == 2
    assert "pwrank demo" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["rank"], ["run", "--as-of", "tonight"], ["score"]])
def test_a_wrong_call_is_a_usage_error(capsys, arguments):
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pwrank ")


@pytest.mark.parametrize(("error", "code"), [(GateRefusedError("no"), 3), (DateHeldError("no"), 4)])
def test_refused_and_held_nights_have_exit_codes_of_their_own(monkeypatch, tmp_path, error, code):
    def refuse(_options):
        raise error

    monkeypatch.setattr("flows.commands.init.run", refuse)
    assert cli.main(["init", str(tmp_path / "x.toml")]) == code


@pytest.mark.parametrize("kind", ["tables", "movielens"])
def test_init_writes_a_configuration_that_loads_and_never_overwrites(tmp_path, capsys, kind):
    path = tmp_path / "pwrank.toml"
    assert cli.main(["init", "--kind", kind, str(path)]) == 0
    assert load_config(path).source.kind == kind
    assert cli.main(["init", str(path)]) == 2
    assert "exists already; name another file" in capsys.readouterr().err
    assert load_config(path).source.kind == kind


def test_check_shows_how_the_first_rows_are_understood_and_writes_nothing(tiny_world, capsys):
    assert cli.main(["check", "--config", str(tiny_world.config_file)]) == 0
    out = capsys.readouterr().out
    assert "interactions: 8 files\n  2024-03-01.csv: 12 rows, 12 usable\n" in out
    assert "items: 1 file\n  items.jsonl: 20 rows, 20 usable\n" in out
    assert f"next: pwrank run --config {tiny_world.config_file}" in out
    assert not tiny_world.store.lake.exists()


def test_check_counts_equal_rows_where_times_do_not_tell_them_apart(tiny_world, capsys):
    rows = [("u1", "001", 4), ("u1", "001", 4), ("u1", "001", 5), ("u2", "001", 4)]
    for path in tiny_world.drops.iterdir():
        path.unlink()
    tiny_world.write_drop("2024-04-01.csv", rows, ("user_id", "item_id", "rating"))
    tiny_world.settings["source"] = {"columns": {"timestamp": ""}}
    for repeated, said in (("keep", True), ("merge", False)):
        tiny_world.configure(clean={"repeated": repeated})
        assert cli.main(["check", "--config", str(tiny_world.config_file)]) == 0
        out = capsys.readouterr().out
        assert "no timestamps: the order in the files is the order" in out
        assert ("  1 rows equal an earlier one and are kept" in out) == said


def test_status_marks_the_current_date(answer, world):
    out = answer("status")
    assert any(line.startswith("→ 2024-03-08") and "80" in line for line in out.splitlines())
    told = json.loads(answer("status", "--json"))
    assert told["current"] == "2024-03-08"
    assert told["dates"][0]["rows"] == 80


def test_rollback_and_report_point_at_dates(answer, world):
    night = stage_night(world.run())
    page = write_night_report(
        night.run, night.refs, staged=night.staged, metrics=night.evaluate(), gates=[], refusal=None
    )
    assert answer("report").strip() == str(page)
    told = json.loads(answer("rollback", "--to", AS_OF, "--reason", "why not", "--json"))
    assert told["current"] == "2024-03-08"
    assert "was made current by hand: why not" in answer("status")
    answer("rollback", "--to", AS_OF)
    assert "was made current by hand: no reason was given" in answer("status")


def test_show_tells_history_list_and_reasons(answer):
    out = answer("show", "--user", "u00", "--top", "2")
    assert out.startswith("user u00: ")
    assert "  1  0." in out
    assert "←" in out
    assert answer("show", "--user", " u00 ", "--top", "2") == out
    told = json.loads(answer("show", "--users", "2", "--json"))
    assert [len(user["ranking"]) for user in told] == [5, 5]


def test_titles_cannot_drive_the_terminal(trained_world, capsys):
    night = stage_night(trained_world.run())
    night.publish()
    (path,) = night.refs.catalogue.file_paths(trained_world.store.lake)
    evil = pl.read_parquet(path).with_columns(title=pl.lit("\x1b[2Jgone\x07"))
    evil.write_parquet(path)
    assert cli.main(["show", "--config", str(trained_world.config_file), "--user", "u00"]) == 0
    out = capsys.readouterr().out
    assert "gone" in out
    assert "\x1b" not in out


def test_what_has_no_title_is_told_by_its_id(trained_world, capsys):
    night = stage_night(trained_world.run())
    night.publish()
    (path,) = night.refs.catalogue.file_paths(trained_world.store.lake)
    command = ["show", "--config", str(trained_world.config_file), "--user", "u00", "--top", "2"]
    assert cli.main(command) == 0
    assert re.search(r"0\.\d{6}  \S.* \((\d{3})\)", capsys.readouterr().out)
    pl.read_parquet(path).with_columns(title=pl.lit("")).write_parquet(path)
    assert cli.main(command) == 0
    assert re.search(r"0\.\d{6}  \d{3}   ← \d{3}(; \d{3})*\n", capsys.readouterr().out)


def test_score_adds_a_column_to_the_callers_rows(answer, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("user_id,item_id,note\nu03,004,a\nnobody,x,b\n", encoding="utf-8")
    out = tmp_path / "scored.parquet"
    assert answer("score", "--pairs", pairs, "--out", out).startswith("2 pairs scored as of 2024")
    scored = pl.read_parquet(out)
    assert scored.columns == ["user_id", "item_id", "note", "score"]
    assert scored["note"].to_list() == ["a", "b"]
    answer("score", "--pairs", pairs, "--out", out, "--heads")
    assert pl.read_parquet(out).columns[-2:] == ["like", "rating"]


def test_score_says_how_many_rows_have_no_id(answer, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("user_id,item_id\nu03,004\n,004\nu03,\n", encoding="utf-8")
    out = answer("score", "--pairs", pairs, "--out", tmp_path / "scored.csv")
    assert out.startswith("1 pairs scored as of 2024")
    assert "2 rows without a user or item id have no score" in out


def test_evaluate_judges_the_published_lists(answer, world, tmp_path):
    listed = stage_night(world.run()).rankings.filter(pl.col("rank") == 1)
    listed.select("user_id", "item_id").write_csv(tmp_path / "held-out.csv")
    told = json.loads(answer("evaluate", "--holdout", tmp_path / "held-out.csv", "--json"))
    published = told["slices"]["all"]["rankers"]["published"]
    assert published["ndcg@10"]["value"] == pytest.approx(1.0)
    assert "NDCG@10" in answer("evaluate", "--holdout", tmp_path / "held-out.csv")


def test_evaluate_tells_the_slices_that_were_asked_for(answer, world, tmp_path):
    listed = stage_night(world.run()).rankings.filter(pl.col("rank") == 1)
    listed.select("user_id", "item_id").write_csv(tmp_path / "held-out.csv")
    asked = ("evaluate", "--holdout", tmp_path / "held-out.csv", "--slices", "cold_items", "all")
    assert set(json.loads(answer(*asked, "--json"))["slices"]) == {"all", "cold_items"}
    assert "items with no interaction" not in answer(*asked)
