"""Each benchmark still runs against the library as it is; figures are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

SMALL = {
    "ingest": ["--interactions", "2000", "--items", "50", "--users", "100"],
    "ratings": ["--users", "60", "--folds", "2"],
    "retrieval": ["--items", "1000", "--repeats", "1"],
    "score": ["--users", "100", "--items", "300", "--shard-users", "50", "--repeats", "1"],
    "train": ["--interactions", "400", "--read", "400", "--users", "50", "--repeats", "1"],
}
"""Arguments that make a benchmark small. `embed` needs a peer that the tests do not install; so
does the part of `train` against RecBole, which is left out unless it is asked for."""


@pytest.mark.parametrize("part", SMALL)
def test_a_benchmark_runs_when_small(part: str) -> None:
    command = [sys.executable, BENCHMARKS / f"bench_{part}.py", "--json", *SMALL[part]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)


def test_every_benchmark_is_tried() -> None:
    parts = {path.stem.removeprefix("bench_") for path in BENCHMARKS.glob("bench_*.py")}
    assert parts == {*SMALL, "embed"}
