"""A lake that this user may not write is told before a command begins to change it."""

from __future__ import annotations

import shutil

import pytest

from pwrank.publication import read_current
from pwrank.store import Store
from pwrank.writable import check_writable
from tests.faults.disks import may_mount, remount, small_disk
from tests.library.tiny_world import AS_OF, World

CHANGING = {
    "rollback": ["--to", AS_OF],
    "forget": ["--user", "u00", "--yes"],
    "evaluate": ["--holdout", "later.csv"],
    "check": [],
}


@pytest.fixture
def locked(published_world, tmp_path, monkeypatch) -> World:
    """A published night of one's own, in a lake that others own."""
    world = World(tmp_path / "world", published_world.model)
    shutil.copytree(published_world.folder, world.folder)
    monkeypatch.setattr("pwrank.writable.os.access", lambda *_: False)
    return world


@pytest.mark.parametrize("name", CHANGING)
def test_a_lake_of_others_is_refused_before_anything_is_changed(locked, command, name):
    before = read_current(locked.store)
    told = command(name, "--config", locked.config_file, *CHANGING[name])
    told.refuses([f"lake {locked.store.lake}: cannot be written (Permission denied)", "set `lake`"])
    assert read_current(locked.store) == before


def test_who_only_looks_needs_no_right_to_write(locked, command):
    assert command("status", "--config", locked.config_file).code == 0
    told = command("forget", "--config", locked.config_file, "--user", "u00")
    assert "add --yes to forget" in told.out


def test_where_there_is_no_lake_the_folder_it_would_lie_in_is_asked(tmp_path):
    check_writable(Store(tmp_path / "not" / "there"))
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk_is_called_so(published_world, tmp_path, command):
    if not may_mount(tmp_path):
        pytest.skip("this user may not mount")
    world = World(tmp_path / "world", published_world.model)
    shutil.copytree(published_world.folder, world.folder)
    with small_disk(world.store.lake, 1 << 26):
        remount(world.store.lake, "ro")
        told = command("rollback", "--config", world.config_file, "--to", AS_OF)
    told.refuses(["cannot be written (Read-only file system)"])
