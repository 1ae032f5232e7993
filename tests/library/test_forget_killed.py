"""Forgetting that is killed: a second call finishes the rest, and readers see no difference."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from pwrank.publication import (
    published_dates,
    rankings_path,
    read_publication,
)
from pwrank.signatures import verify_publication
from tests.library.furnished_world import (
    USER,
    bytes_naming,
    copy,
    forgotten,
    lists_of_others,
    tree,
)
from tests.library.tiny_world import AS_OF, World


@pytest.fixture
def world(_furnished, tmp_path) -> World:
    return copy(_furnished, tmp_path / "world")


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.fixture(scope="session")
def undisturbed(_furnished, tmp_path_factory) -> tuple[int, dict[str, str]]:
    """How many files are renamed in all, and what the lake is then."""
    world = copy(_furnished, tmp_path_factory.mktemp("undisturbed") / "world")
    renames, replace = [], Path.replace
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", lambda p, to: renames.append(to) or replace(p, to))
        forgotten(world)
    return len(renames), tree(world)


@pytest.mark.parametrize("part", range(8))
def test_killed_anywhere_a_second_call_finishes_the_rest(world, undisturbed, monkeypatch, part):
    count, expected = undisturbed
    moment = random.Random(part).randrange(part * count // 8, (part + 1) * count // 8)  # noqa: S311
    renames, replace = [], Path.replace

    def replace_some(path, target):
        renames.append(target)
        if len(renames) == moment + 1:
            if part % 2:
                replace(path, target)
            raise Killed
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_some)
    with pytest.raises(Killed):
        forgotten(world)
    monkeypatch.undo()
    forgotten(world)
    assert tree(world) == expected
    assert bytes_naming(world) == []


DRIVER = """
import os, sys
from pathlib import Path
replace, count = Path.replace, [int(sys.argv.pop(1))]
def dying(path, target):
    count[0] -= 1
    if count[0] < 0:
        os._exit(137)
    return replace(path, target)
Path.replace = dying
from flows.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_process_that_dies_leaves_nothing_that_a_second_one_does_not_mend(
    world, undisturbed, share, command
):
    world.configure()
    moment = int(undisturbed[0] * share)
    arguments = ["forget", "--config", str(world.config_file), "--user", USER, "--yes"]
    done = subprocess.run([sys.executable, "-c", DRIVER, str(moment), *arguments], check=False)
    assert done.returncode == 137
    assert command(*arguments).code == 0
    assert bytes_naming(world) == []
    assert list(world.store.lake.rglob(".tmp-*")) == []
    for day in published_dates(world.store):
        verify_publication(world.store, read_publication(world.store, day))


def test_readers_of_others_see_their_lists_all_the_while(world):
    expected = lists_of_others(world, AS_OF)
    wrong, reads, stop = [], [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            lists = lists_of_others(world, AS_OF)
            try:
                glob = pl.read_parquet(world.store.lake / rankings_path(AS_OF) / "*.parquet")
            except FileNotFoundError:  # it ran through the swap, and is told so
                continue
            others = glob.filter(pl.col("user_id") != USER).sort("user_id", "rank")
            reads.append(1)
            if not (lists.equals(expected) and others.equals(expected)):
                wrong.append(lists)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        forgotten(world)
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert len(reads) > 3
