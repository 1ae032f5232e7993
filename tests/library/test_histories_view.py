"""Histories hold the same however their rows were split, and whatever a killed run left."""

from __future__ import annotations

import pytest

from pwrank.views import histories
from tests.library.tiny_world import World, make_world


@pytest.fixture
def worlds(tmp_path, tiny_encoder) -> tuple[World, World]:
    """Two of the same files."""
    first, second = (make_world(tmp_path / name, tiny_encoder) for name in "ab")
    return first, second


def bytes_of(world, **rules) -> list[bytes]:
    ref = world.ingest(clean=rules).histories
    return [path.read_bytes() for path in ref.file_paths(world.store.lake)]


@pytest.mark.parametrize("rules", [{}, {"min_item_interactions": 3}])
def test_rows_that_are_split_on_disk_come_to_the_same_files(worlds, monkeypatch, rules):
    in_memory = bytes_of(worlds[0], **rules)
    monkeypatch.setattr(histories, "SPILL_ROWS", 10)
    assert bytes_of(worlds[1], **rules) == in_memory


def test_nothing_of_the_split_is_left(tiny_world, monkeypatch):
    monkeypatch.setattr(histories, "SPILL_ROWS", 10)
    tiny_world.ingest()
    assert not list(tiny_world.store.lake.rglob("spill-*"))


def test_what_a_killed_run_left_of_its_split_does_not_count(worlds, monkeypatch):
    world, other = worlds
    undisturbed = bytes_of(other)
    monkeypatch.setattr(histories, "SPILL_ROWS", 10)

    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(histories, "_write_shard", killed)
        with pytest.raises(KeyboardInterrupt):
            world.ingest()
    assert list(world.store.lake.rglob("spill-*"))
    monkeypatch.setattr(histories, "SPILL_ROWS", 1_000_000)
    assert bytes_of(world) == undisturbed
    assert not list(world.store.lake.rglob("spill-*"))
