"""Secrets in the environment of a run reach neither the lake, nor the output, nor Prefect's log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.library.tiny_world import AS_OF

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-correct-horse"  # noqa: S105 - planted
COMMAND = "import sys; from flows.cli import main; sys.exit(main())"
PLANTED = {
    "PREFECT_API_KEY": SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "HF_TOKEN": SECRET,
    "DATABASE_URL": f"postgresql://pwrank:{SECRET}@db.example/pwrank",
}


def run(world, tmp_path, *arguments, **environment) -> subprocess.CompletedProcess[str]:
    """`pwrank` in a process of its own, with a Prefect home of its own."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    here = {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect")}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments, "--config", str(world.config_file)],
        env=base | here | PLANTED | environment,
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def files_with_secret(*folders: Path) -> list[Path]:
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert paths
    return [path for path in paths if SECRET.encode() in path.read_bytes()]


def test_a_night_keeps_no_secret_anywhere(world, tmp_path):
    told = run(world, tmp_path, "run", "--as-of", str(AS_OF), "--json")
    assert told.returncode == 0, told.stderr
    assert SECRET not in told.stdout + told.stderr
    assert files_with_secret(world.store.lake, tmp_path / "prefect") == []


def test_a_database_that_cannot_be_reached_is_not_told_with_its_password(world, tmp_path):
    url = f"postgresql+asyncpg://pwrank:{SECRET}@127.0.0.1:1/pwrank"
    told = run(
        world, tmp_path, "run", "--as-of", str(AS_OF), PREFECT_API_DATABASE_CONNECTION_URL=url
    )
    assert told.returncode == 1
    assert "Prefect's API did not start" in told.stderr
    assert SECRET not in told.stdout + told.stderr
    assert files_with_secret(tmp_path / "prefect", world.folder) == []


def test_the_doctor_hides_the_password_of_an_api(world, tmp_path):
    url = f"https://pwrank:{SECRET}@prefect.example/api"
    told = run(world, tmp_path, "doctor", PREFECT_API_URL=url)
    assert "https://***@prefect.example/api" in told.stdout
    assert SECRET not in told.stdout + told.stderr
