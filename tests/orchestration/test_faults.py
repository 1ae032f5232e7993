"""Killed anywhere, a night is finished by the next run; the large form is `make faults`."""

from __future__ import annotations

import errno
import random

import pytest

from tests.faults.child import Night
from tests.faults.disks import may_mount, remount, small_disk, used
from tests.faults.injection import Fault, Operation
from tests.faults.trials import BEFORE, Scene, Trial, copy_world, make_start
from tests.library.tiny_world import AS_OF

STAGES = ("ingest", "embed", "train", "index", "score", "evaluate", "publish")
CHANGES = ("open", "fsync", "os.rename", "os.link", "os.remove", "os.mkdir")


@pytest.fixture(scope="module")
def start(tmp_path_factory, tiny_encoder):
    return make_start(tmp_path_factory.mktemp("faults") / "start", tiny_encoder)


@pytest.fixture(scope="module")
def nights(start):
    """A new date, and a published date that is told of late rows; by their stages alone."""
    return [
        Scene.play(start, Night(start.with_name("new"), AS_OF)),
        Scene.play(start, Night(start.with_name("late"), BEFORE, known_now=True)),
    ]


@pytest.fixture(scope="module")
def commanded(start, prefect_server):
    """The same new date by `pwrank run`."""
    return Scene.play(start, Night(start.with_name("command"), AS_OF, api=prefect_server))


def world_of(scene, tmp_path):
    return copy_world(scene.start, tmp_path / "world")


def some_place(scene, stage, events, seed=0) -> Operation:
    """A seeded choice among what a stage does to the lake."""
    places = [o for o in scene.operations if o.stage == stage and o.event in events]
    return random.Random(f"{stage} {seed}").choice(places)  # noqa: S311 - not for secrets


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("number", "how"), [(0, "kill"), (0, "cut"), (1, "kill")])
def test_a_killed_night_is_finished_as_if_nothing_had_been(nights, tmp_path, stage, number, how):
    scene = nights[number]
    place = some_place(scene, stage, {"fsync"} if how == "cut" else CHANGES, seed=number)
    trial = Trial(scene, world_of(scene, tmp_path), Fault(place.number, how))
    trial.run(Trial.meet_fault)
    assert trial.code == -9, place
    assert trial.wrong == [], place
    assert trial.reads["read_rankings"] > 0


@pytest.mark.parametrize("stage", ["ingest", "score", "publish"])
def test_an_io_error_that_passes_is_healed_by_trying_again(commanded, tmp_path, stage):
    place = some_place(commanded, stage, {"fsync", "os.rename"})
    trial = Trial(commanded, world_of(commanded, tmp_path), Fault(place.number, str(errno.EIO)))
    trial.run(Trial.meet_fault)
    assert trial.code == 0, (place, trial.told)
    assert trial.wrong == [], place


@pytest.mark.parametrize(("stage", "number"), [("embed", errno.EIO), ("score", errno.ENOSPC)])
def test_an_io_error_that_stays_fails_clearly_and_publishes_nothing(
    commanded, tmp_path, stage, number
):
    place = some_place(commanded, stage, {"fsync"})
    fault = Fault(place.number, str(number), always=True)
    trial = Trial(commanded, world_of(commanded, tmp_path), fault)
    trial.run(Trial.meet_fault)
    assert trial.refused_clearly, (place, trial.code, trial.told)
    assert trial.wrong == [], place


def test_a_full_disk_is_named_and_the_night_is_finished_once_there_is_room(commanded, tmp_path):
    world = world_of(commanded, tmp_path)
    if not may_mount(world / "lake"):
        pytest.skip("needs the right to mount a small file system")
    trial = Trial(commanded, world)
    with small_disk(world / "lake", 64 << 20):
        remount(world / "lake", f"size={used(world / 'lake') + 100_000}")
        trial.run(Trial.meet_fault, lambda _: remount(world / "lake", f"size={64 << 20}"))
        assert trial.refused_clearly, trial.told
        assert "disk full" in trial.told
        assert trial.wrong == []


def test_a_lake_that_is_read_only_is_named(commanded, tmp_path):
    world = world_of(commanded, tmp_path)
    if not may_mount(world / "lake"):
        pytest.skip("needs the right to mount a small file system")
    trial = Trial(commanded, world)
    with small_disk(world / "lake", 64 << 20):
        remount(world / "lake", "ro")
        trial.run(Trial.meet_fault, lambda _: remount(world / "lake", "rw"))
        assert trial.refused_clearly, trial.told
        assert "cannot be written (Read-only file system)" in trial.told
        assert trial.wrong == []
