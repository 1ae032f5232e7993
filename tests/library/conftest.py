"""Tiny worlds: a fresh one a test, and one finished night that tests may only read."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
from types import SimpleNamespace

import pytest

from flows import cli
from flows.commands import Answer
from tests.library.furnished_world import NEXT, USER, furnish, nights, show_off
from tests.library.lively_world import (
    FIRST_NOW,
    TONIGHT,
    lively_interactions,
    make_lively_world,
)
from tests.library.tiny_models import tiny_model
from tests.library.tiny_world import AS_OF, Night, World, make_world, stage_night
from tests.library.told import Told


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    return tiny_model("bert", tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def tiny_world(tmp_path, tiny_encoder) -> World:
    """Eight daily drops, twenty items, nothing ingested yet."""
    return make_world(tmp_path, tiny_encoder)


@pytest.fixture(scope="session")
def _trained_world(tmp_path_factory, tiny_encoder) -> World:
    """The model of every other world: all stages but publish are done."""
    world = make_world(tmp_path_factory.mktemp("trained") / "world", tiny_encoder)
    stage_night(world.run())
    return world


@pytest.fixture
def trained_world(tmp_path, _trained_world) -> World:
    """A world of one's own whose night is staged already, and not published."""
    folder = tmp_path / "world"
    shutil.copytree(_trained_world.folder, folder)
    return World(folder, _trained_world.model)


@pytest.fixture(scope="session")
def published_world(tmp_path_factory, _trained_world) -> World:
    """A published night; read only."""
    folder = tmp_path_factory.mktemp("published") / "world"
    shutil.copytree(_trained_world.folder, folder)
    world = World(folder, _trained_world.model)
    stage_night(world.run()).publish()
    return world


@pytest.fixture(scope="session")
def night(published_world) -> Night:
    """The night of the published world; read only."""
    return stage_night(published_world.run())


@pytest.fixture(scope="session")
def _good_night(tmp_path_factory, tiny_encoder) -> World:
    """A lively world whose first night is published."""
    world = make_lively_world(tmp_path_factory.mktemp("lively") / "world", tiny_encoder)
    stage_night(world.run(as_of=TONIGHT, now=FIRST_NOW)).publish()
    return world


@pytest.fixture
def lively_world(tmp_path, _good_night) -> World:
    """A lively world of one's own, with the drop of the day after its published night."""
    folder = tmp_path / "world"
    shutil.copytree(_good_night.folder, folder)
    mine = World(folder, _good_night.model, settings=_good_night.settings)
    mine.write_drop(f"{TONIGHT}.csv", lively_interactions(TONIGHT))
    return mine


@pytest.fixture
def command(capsys):
    """Run a command of `pwrank` in this process."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments) -> Told:
        code = cli.main([str(argument) for argument in arguments])
        return Told(code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def _furnished(tmp_path_factory, tiny_encoder) -> World:
    world = make_world(tmp_path_factory.mktemp("furnished") / "world", tiny_encoder)
    furnish(world, USER)
    nights(world, AS_OF, NEXT)
    show_off(world, USER)
    return world


@pytest.fixture
def stages(capsys):
    """The stages of a night behind the same guard as the command `run`, without Prefect."""

    def run(world: World, **sections) -> Told:
        def night(_options) -> Answer:
            done = stage_night(world.run(**sections))
            return Answer(json.dumps(done.known.landed), done.known.landed)

        options = argparse.Namespace(json=False, debug=False)
        code = cli._guarded(SimpleNamespace(run=night), options)
        return Told(code, *capsys.readouterr())

    return run
