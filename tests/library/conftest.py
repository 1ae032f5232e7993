"""Tiny worlds: a fresh one a test, and one finished night that tests may only read."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import signal

import pytest

from flows import cli
from pwrank import train
from tests.library.tiny_models import tiny_model
from tests.library.tiny_world import Night, World, make_world, stage_night
from tests.library.told import Told

SHORT = {"dim": 16, "epochs": 2, "pair_epochs": 2, "retrieval_epochs": 2, "prior_steps": 5}
"""A training that is over in no time; what it learns is the business of other tests."""


@pytest.fixture(scope="session", autouse=True)
def _short_training():
    known = {field.name for field in dataclasses.fields(train.TrainConfig)}
    short = {name: value for name, value in SHORT.items() if name in known}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "TrainConfig", functools.partial(train.TrainConfig, **short))
        yield


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


@pytest.fixture
def command(capsys):
    """Run a command of `pwrank` in this process."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments) -> Told:
        code = cli.main([str(argument) for argument in arguments])
        return Told(code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)
