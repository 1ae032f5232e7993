"""The command as a stranger meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import COMMANDS, build_parser, main

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


def test_init_writes_a_file_that_check_understands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\nu,i,2026-01-01\n")
    (tmp_path / "items.csv").write_text("item_id,title\ni,A kettle\n")
    assert main(["check"]) == 0
    assert "1 are usable" in capsys.readouterr().out


def test_init_never_writes_over_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pwrank.toml").write_text("mine")
    assert main(["init"]) == 2
    assert (tmp_path / "pwrank.toml").read_text() == "mine"
    assert "exists already" in capsys.readouterr().err
