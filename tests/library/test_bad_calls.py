"""Wrong calls: what is not there is named with what is, and nothing is touched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pwrank.report.night import report_path
from tests.library.tiny_world import AS_OF, World
from tests.library.told import lake_is_a_file, other_version

CALLERS_FILES = {
    "no such file": (None, ["pairs.csv: no such file"]),
    "an empty file": ("", ["pairs.csv: empty file"]),
    "no rows": ("user_id,item_id\n", ["pairs.csv: no rows"]),
    "a wrong column": ("usr_id,item_id\na,b\n", ["no column 'user_id'", "did you mean 'usr_id'?"]),
}


@pytest.mark.parametrize("case", CALLERS_FILES)
@pytest.mark.parametrize("name", ["score", "evaluate"])
def test_a_callers_file_that_cannot_be_used_is_refused(
    published_world, command, tmp_path, name, case
):
    content, parts = CALLERS_FILES[case]
    path = tmp_path / "pairs.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    out = tmp_path / "out.csv"
    told = ["--holdout", path] if name == "evaluate" else ["--pairs", path, "--out", out]
    command(name, "--config", published_world.config_file, *told).refuses(parts)


@pytest.mark.parametrize("name", ["pairs.json", "pairs.jsonl", "pairs.ndjson"])
def test_a_callers_file_of_json_lines_is_one_by_any_of_its_endings(
    published_world, command, tmp_path, name
):
    path, out = tmp_path / name, tmp_path / "out.csv"
    path.write_text('{"user_id": "u00", "item_id": "004"}\n', encoding="utf-8")
    told = ["--config", published_world.config_file, "--pairs", path, "--out", out]
    assert command("score", *told).code == 0
    assert out.read_text(encoding="utf-8").startswith("user_id,item_id,score\nu00,004,")
    folder = ["--config", published_world.config_file, "--pairs", tmp_path, "--out", out]
    command("score", *folder).refuses([f"{tmp_path}: is a folder"])


def test_pairs_with_a_column_of_the_name_that_is_added_are_refused(
    published_world, command, tmp_path
):
    path, out = tmp_path / "pairs.csv", tmp_path / "out.csv"
    path.write_text("user_id,item_id,rating\nu00,004,5\n", encoding="utf-8")
    told = ["--config", published_world.config_file, "--pairs", path, "--out", out]
    command("score", *told, "--heads").refuses(["pairs.csv", "its own column 'rating'", "rename"])
    assert not out.exists()
    assert command("score", *told).code == 0
    assert out.read_text(encoding="utf-8").startswith("user_id,item_id,rating,score\nu00,004,5,")


READERS = {
    "show": ["--user", "u00"],
    "score": ["--pairs", "p.csv", "--out", "o.csv"],
    "evaluate": ["--holdout", "h.csv"],
    "report": [],
    "rollback": ["--to", "2024-03-08"],
}


@pytest.mark.parametrize("name", READERS)
def test_commands_that_need_a_published_night_say_that_there_is_none(tiny_world, command, name):
    told = command(name, "--config", tiny_world.config_file, *READERS[name])
    told.refuses(["published"])
    assert not tiny_world.store.lake.exists()


@pytest.mark.parametrize("name", [*READERS, "status"])
def test_no_command_touches_a_lake_of_another_version(tiny_world, command, name):
    other_version(tiny_world)
    arguments = READERS.get(name, [])
    command(name, "--config", tiny_world.config_file, *arguments).refuses(["format 99"])


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["show", "--user", "nobody"], ["user 'nobody' has no list"]),
        (["show", "--as-of", "2020-01-01"], ["2020-01-01 is not published", "pwrank run"]),
        (["rollback", "--to", "2020-01-01"], ["2020-01-01 is not published", "2024-03-08"]),
        (["score", "--pairs", "p.csv", "--out", "o.xlsx"], ["o.xlsx: unknown ending", ".parquet"]),
        (["score", "--pairs", "p.csv", "--out", "/nope/o.csv"], ["no folder /nope", "make it"]),
        (
            ["score", "--pairs", "p.csv", "--out", "./p.csv"],
            ["is the file that is read", "another"],
        ),
    ],
)
def test_what_is_not_there_is_named_with_what_is(published_world, command, arguments, parts):
    name, *rest = arguments
    command(name, "--config", published_world.config_file, *rest).refuses(parts)


def test_no_scores_are_written_into_the_lake(published_world, command, tmp_path):
    pairs, out = tmp_path / "pairs.csv", published_world.store.lake / "rankings" / "mine.csv"
    pairs.write_text("user_id,item_id\n", encoding="utf-8")
    told = command("score", "--config", published_world.config_file, "--pairs", pairs, "--out", out)
    told.refuses(["mine.csv: lies in the lake", "another folder"])
    assert not out.exists()


@pytest.mark.parametrize(("columns", "early"), [({}, 1), ({"timestamp": ""}, 0)])
def test_interactions_of_before_the_date_are_told_when_lists_are_judged(
    published_world, command, tmp_path, columns, early
):
    world = World(tmp_path / "world", published_world.model)  # judging writes a page
    shutil.copytree(published_world.folder, world.folder)
    world.configure(source={"columns": columns})
    held_out = tmp_path / "later.csv"
    rows = [",user_id,item_id,timestamp", "0,u01,003,2024-01-05", "1,u02,004,2024-03-08T10:00:00Z"]
    held_out.write_text("\n".join(rows), encoding="utf-8")
    told = command("evaluate", "--config", world.config_file, "--holdout", held_out, "--json")
    assert told.code == 0, told.err
    answer = json.loads(told.out)
    assert answer["account"]["before_the_cut"] == early
    assert answer["account"]["without_time"] == (0 if early else 2)
    assert answer["judged_by"] == "later.csv"
    page = report_path(world.store, AS_OF).read_text(encoding="utf-8")
    assert "later interactions of the file later.csv" in page


def test_rows_that_lists_are_not_judged_by_are_counted(published_world, command, tmp_path):
    world = World(tmp_path / "world", published_world.model)
    shutil.copytree(published_world.folder, world.folder)
    world.configure(clean={"positive_events": ["buy"]})
    held_out, seen = tmp_path / "later.csv", _seen_pair(world)
    later = [seen, ("u01", "003"), ("u01", "003"), ("", "004"), ("u01", "005")]
    events = ["buy", "buy", "buy", "buy", "view"]
    rows = [f"{user},{item},{e}" for (user, item), e in zip(later, events, strict=True)]
    held_out.write_text("\n".join(["user_id,item_id,event", *rows]), encoding="utf-8")
    told = command("evaluate", "--config", world.config_file, "--holdout", held_out, "--json")
    assert told.code == 0, told.err
    account = json.loads(told.out)["account"]
    parts = ("not_interest", "without_id", "repeated", "seen_before", "relevant")
    assert [account[name] for name in parts] == [1, 1, 1, 1, 1]
    assert account["holdout_rows"] == len(rows)


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        (None, ["later.csv: nobody to judge", "[score] exclude_seen", "bring what came later"]),
        (("", "004"), ["no row has a user and an item", "user ids are string"]),
    ],
)
def test_lists_that_nobody_judges_are_no_figure(published_world, command, tmp_path, row, parts):
    held_out = tmp_path / "later.csv"
    line = ",".join(row or _seen_pair(published_world))
    held_out.write_text(f"user_id,item_id\n{line}\n", encoding="utf-8")
    told = command("evaluate", "--config", published_world.config_file, "--holdout", held_out)
    told.refuses(parts)
    assert not report_path(published_world.store, AS_OF).exists()


def _seen_pair(world: World) -> tuple[str, str]:
    (path, *_) = sorted(world.store.lake.glob("histories/**/*.parquet"))
    return pl.read_parquet(path).select("user_id", "item_id").row(0)


@pytest.mark.parametrize("name", ["run", "backfill", "train"])
def test_runs_look_at_configuration_lake_and_files_before_anything_starts(
    tiny_world, command, name
):
    days = ["--from", "2024-03-01", "--to", "2024-03-02"] if name == "backfill" else []
    lake_is_a_file(tiny_world)
    told = command(name, "--config", tiny_world.config_file, *days)
    told.refuses(["lake", "cannot be written"])


def test_an_unexpected_error_is_one_line_with_the_next_step(monkeypatch, tiny_world, command):
    def broken(_options):
        raise RuntimeError("something odd\nwith details")

    monkeypatch.setattr("flows.commands.status.run", broken)
    told = command("status", "--config", tiny_world.config_file)
    assert told.code == 1
    assert told.err.splitlines() == [
        "pwrank: unexpected RuntimeError: something odd",
        "run again with --debug to see where, and report it",
    ]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error: IoError(Os { message: 'No space left on device' })\nmore"),
        RuntimeError("parquet: File out of specification: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_told_in_one_line_with_the_next_step(
    monkeypatch, tiny_world, command, error
):
    def full(_options):
        raise error

    monkeypatch.setattr("flows.commands.status.run", full)
    told = command("status", "--config", tiny_world.config_file)
    assert told.code == 1
    (line,) = told.err.splitlines()
    assert line.startswith("pwrank: disk full: ")
    assert "No space left on device" in line
    assert "specification" not in line
    assert line.endswith("run the same command again; nothing was published half")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EROFS, ("disk is read-only", "make the lake's file system writable")),
        (errno.EIO, ("disk failed", "check the disk under the lake")),
        (errno.EDQUOT, ("disk full", "raise the quota")),
    ],
)
def test_trouble_of_a_disk_is_told_with_its_file_and_what_to_do(
    monkeypatch, tiny_world, command, number, told
):
    def troubled(_options):
        raise OSError(number, os.strerror(number), "lake/histories/part-00000.parquet")

    monkeypatch.setattr("flows.commands.status.run", troubled)
    said = command("status", "--config", tiny_world.config_file)
    assert said.code == 1
    (line,) = said.err.splitlines()
    fact, remedy = told
    assert line.startswith(f"pwrank: {fact}: ")
    assert "'lake/histories/part-00000.parquet'" in line
    assert remedy in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_is_full_is_told_in_one_line(tmp_path):
    code = "import sys; from flows.cli import main; sys.exit(main(sys.argv[1:]))"
    call = [sys.executable, "-c", code, "init", str(tmp_path / "pwrank.toml")]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("pwrank: disk full: ")
