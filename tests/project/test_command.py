"""The command as a stranger meets it."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from flows.cli import COMMANDS, build_parser, ids_joined, main
from flows.commands.demo import _where
from pwrank.evaluation.figures import SLICES

ROOT = Path(__file__).parents[2]
HEAVY = ("prefect", "torch", "polars", "transformers", "faiss", "pyarrow", "pydantic")


def test_help_loads_no_heavy_library():
    code = (
        "import sys; from flows.cli import build_parser; build_parser().format_help(); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_moving_the_pointer_loads_no_library_of_models():
    code = (
        "import sys; import flows.commands.rollback, pwrank.publication; "
        "print([n for n in ('torch', 'faiss', 'transformers', 'pyarrow') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_command_is_a_module_too():
    call = [sys.executable, "-m", "flows.cli", "--version"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pwrank ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        build_parser().parse_args([command, "--help"])
    assert stopped.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert COMMANDS[command][1:] in told
    assert "--json" in told


def test_an_unknown_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["rank"])
    assert stopped.value.code == 2
    assert "invalid choice: 'rank'" in capsys.readouterr().err


def test_a_date_that_is_none_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--as-of", "2026-02-30"])
    assert stopped.value.code == 2
    assert "'2026-02-30' is not a date" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--users", "--top"])
@pytest.mark.parametrize("count", ["-1", "0", "many"])
def test_a_count_that_is_none_is_a_usage_error(option, count, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["show", option, count])
    assert stopped.value.code == 2
    assert f"{count!r} is not a whole number of 1 or more" in capsys.readouterr().err


def test_an_unknown_slice_is_a_usage_error_and_the_help_lists_the_known(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--holdout", "h.csv", "--slices", "bogus"])
    assert stopped.value.code == 2
    assert "invalid choice: 'bogus'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert ", ".join(SLICES) in told


def test_the_demo_ends_with_the_command_as_it_was_called(tmp_path, monkeypatch):
    called = tmp_path / "my pwrank"
    called.touch()
    monkeypatch.setattr(sys, "argv", [str(called)])
    last = _where(tmp_path, tmp_path / "pwrank.toml", date(2026, 1, 1)).splitlines()[-1]
    assert f"'{called}' show --config" in last
    monkeypatch.setattr(sys, "argv", ["-c"])
    last = _where(tmp_path, tmp_path / "pwrank.toml", date(2026, 1, 1)).splitlines()[-1]
    assert " pwrank show --config" in last


def test_init_writes_a_file_that_check_understands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\nu,i,2026-01-01\n")
    (tmp_path / "items.csv").write_text("item_id,title\ni,A kettle\n")
    assert main(["check"]) == 0
    assert "interactions.csv: 1 rows, 1 usable" in capsys.readouterr().out


def test_check_tells_what_is_not_used_and_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "interactions.csv").write_text("user_id,item_id,shop\nu,i,s\n")
    (tmp_path / "items.csv").write_text(
        "item_id,title,stock,brand,state,updated_at\ni,A kettle,3,Alto,new,2026-01-01\n"
    )
    (tmp_path / "pwrank.toml").write_text(
        'lake = "lake"\n[source]\ninteractions = "interactions.csv"\nitems = "items.csv"\n'
        'columns.timestamp = ""\n[encoder]\ntext_template = "{title} {brand}"\n'
        '[[clean.reject]]\nreason = "old"\ncolumn = "state"\ntable = "items"\nmatches = "old"\n'
    )
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "columns not used: shop\n" in out
    assert out.count("text_template = ") == 1
    assert "no timestamps: the order in the files is the order" in out
    assert "columns not used: stock\n  (an item's text may hold more of them: " in out
    assert "e.g. item_id=i, title=A kettle, " in out
    assert "  reject rules that set none of these rows aside: old (" in out
    assert main(["check", "--json"]) == 0
    interactions, items = json.loads(capsys.readouterr().out)
    assert (interactions["has_times"], items["unused"]) == (False, ["stock"])
    assert interactions["example"]["occurred_at"] is None
    assert items["example"]["updated_at"] == "2026-01-01T00:00:00+00:00"


def test_an_id_may_begin_with_a_dash():
    assert ids_joined(["show", "--user", "-MLT", "--json"]) == ["show", "--user=-MLT", "--json"]
    assert ids_joined(["show", "--user", "u", "--user", "-v", "-w"]) == [
        "show", "--user", "u", "--user=-v", "-w",
    ]  # fmt: skip
    assert ids_joined(["show", "--user", "--json"]) == ["show", "--user", "--json"]


def test_init_never_writes_over_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pwrank.toml").write_text("mine")
    assert main(["init"]) == 2
    assert (tmp_path / "pwrank.toml").read_text() == "mine"
    assert "exists already" in capsys.readouterr().err
