"""Shared by all tests: one thread, no network, real data where it is."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported: threads that spin while they wait starve what else runs here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says how to get them used."""
    folder = os.environ.get("PWRANK_DATA")
    if not folder:
        pytest.skip("PWRANK_DATA is not set: no real data on this machine")
    return Path(folder)
