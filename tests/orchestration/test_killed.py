"""The command as a process: killed, stopped, started twice; exit codes and what is left behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from flows.cli import main
from flows.nightly import nightly
from tests.library.tiny_world import AS_OF

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")


def start(world, *, shard=1, seconds=60.0, api: str | None) -> subprocess.Popen[str]:
    """`pwrank run` in a process that stops in one shard."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PREFECT_API_URL", None)
    if api:
        environment["PREFECT_API_URL"] = api
    arguments = ["run", "--config", str(world.config_file), "--as-of", str(AS_OF)]
    return subprocess.Popen(
        [sys.executable, str(DRIVER), str(shard), str(seconds), *arguments],
        env=environment,
        cwd=world.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def started(world, **options) -> subprocess.Popen[str]:
    process = start(world, **options)
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def children(process) -> list[int]:
    told = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(child) for child in told.split()]


def published_files(world) -> dict[str, str]:
    folder = world.store.lake / "rankings"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_run_leaves_no_server_and_the_next_run_finishes_the_same_files(world):
    nightly(world.config_file, as_of=AS_OF)
    whole = published_files(world)
    assert whole
    shutil.rmtree(world.store.lake)

    process = started(world, api=None)
    servers = children(process)
    assert servers
    process.kill()
    process.communicate(timeout=20)  # the pipe ends: nothing that lives on holds it
    assert process.returncode == -signal.SIGKILL
    assert not published_files(world)
    parts = sorted(path.name for path in world.store.lake.glob("staged/**/part-*.parquet"))
    assert "part-00001.parquet" not in parts
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{server}").exists() for server in servers):
        assert time.monotonic() < deadline, "the local server outlives the run"
        time.sleep(0.1)

    nightly(world.config_file, as_of=AS_OF)
    assert published_files(world) == whole


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_ends_with_the_code_of_its_signal(world, prefect_server, number, code):
    process = started(world, seconds=2, api=prefect_server)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert not published_files(world)


def test_a_second_run_of_a_date_that_is_held_exits_4_and_names_the_first(
    world, prefect_server, capsys
):
    first = started(world, seconds=60, api=prefect_server)
    try:
        code = main(["run", "--config", str(world.config_file), "--as-of", str(AS_OF)])
    finally:
        first.kill()
        first.communicate()
    assert code == 4
    assert f"process {first.pid}" in capsys.readouterr().err


def test_a_refused_night_exits_3_and_tells_the_gate(world, capsys):
    world.configure(gates={"max_same_list_share": 0.0})
    code = main(["run", "--config", str(world.config_file), "--as-of", str(AS_OF)])
    assert code == 3
    told = capsys.readouterr().err
    assert "personal lists" in told
    assert '--override personal-lists="why"' in told
    assert "train: model " in told
    assert not published_files(world)


def test_a_refusal_is_overridden_by_name_and_shown_by_status_and_report(world, capsys):
    world.configure(gates={"max_same_list_share": 0.0})
    where = ["--config", str(world.config_file)]
    run = ["run", *where, "--as-of", str(AS_OF), "--override"]
    for override, told in (
        ("personal-list=x", "did you mean 'personal lists'?"),
        ("rank-gap=x", "readers rely on this gate"),
        ("personal-lists=", "give a reason"),
    ):
        assert main([*run, override]) == 2
        assert told in capsys.readouterr().err
    assert not published_files(world)
    assert main([*run, "personal-lists=sixteen users only"]) == 0
    assert main(["status", *where]) == 0
    assert "gate “personal lists” was overridden: sixteen users only" in capsys.readouterr().out
    page = world.store.lake / "reports" / f"as_of={AS_OF}" / "report.html"
    assert "sixteen users only" in page.read_text(encoding="utf-8")


def test_a_broken_drop_exits_3_before_anything_is_embedded(world, capsys):
    world.configure(drift={"min_rows": 5})
    nightly(world.config_file, as_of=AS_OF - timedelta(days=1))
    world.write_drop("2024-03-07.csv", [])
    path = world.drops / "2024-03-07.csv"
    path.write_text(path.read_text(encoding="utf-8") + "u00,000,2024-03-07T10:00:00Z,5,view\n")
    code = main(["run", "--config", str(world.config_file), "--as-of", str(AS_OF)])
    told = capsys.readouterr().err
    assert code == 3
    assert f"{AS_OF} is not ranked" in told
    assert "gate “drop rows”: 1 usable rows for 2024-03-07, usually 12" in told
    assert "embed:" not in told
    assert (world.store.lake / "reports" / f"as_of={AS_OF}" / "report.html").exists()
