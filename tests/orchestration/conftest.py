"""One Prefect server for all flow tests, and worlds that are quick to run through it."""

from __future__ import annotations

import pytest

from flows.environment import prepare_environment
from tests.library.tiny_models import tiny_model
from tests.library.tiny_world import World, make_world

prepare_environment()


@pytest.fixture(scope="session", autouse=True)
def prefect_server():
    """Starting one takes 14 seconds, once."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield PREFECT_API_URL.value()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    return tiny_model("bert", tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def world(tmp_path, tiny_encoder) -> World:
    """Eight daily drops, twenty items, nothing ingested yet; retries without a wait."""
    world = make_world(tmp_path, tiny_encoder)
    world.settings = {"runtime": {"retries": 2, "retry_seconds": 0.01}}
    world.configure()
    return world
