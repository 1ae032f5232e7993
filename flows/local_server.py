"""A Prefect API for one command, where the user has none: it dies with the command.

Prefect's own ephemeral server outlives a killed run and keeps its output pipe open; this one is
told by the kernel when its parent is gone, and writes to a log file only.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from pwrank.errors import PwrankError

START_SECONDS = 90
PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def prefect_api(meanwhile: str = "flows.nightly") -> Iterator[None]:
    """Use the API that Prefect is configured for, else start one for the length of the block.

    meanwhile: module imported while that one starts, since both take seconds.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    with _own_server(Path(str(PREFECT_HOME.value()))) as (url, server):
        importlib.import_module(meanwhile)
        # What is imported stays; the interpreter need not look at it when it collects or ends,
        # which took 1.3 seconds at the exit and takes 0.3.
        gc.freeze()
        _wait_until_up(url, server)
        with temporary_settings({PREFECT_API_URL: url}):
            try:
                yield
            finally:
                _send_what_is_queued()


@contextlib.contextmanager
def _own_server(log_folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A server process that is on its way up, and gone when the block ends."""
    log_folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    with tempfile.TemporaryFile(dir=log_folder) as log:
        server = _start(port, log.fileno())
        try:
            yield f"http://127.0.0.1:{port}/api", server
        finally:
            server.terminate()
            try:
                server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _send_what_is_queued() -> None:
    """Let Prefect's background workers finish; they would retry for a minute against nobody."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int, log: int) -> "subprocess.Popen[bytes]":
    environment = os.environ | {
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    app = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        [sys.executable, "-m", "uvicorn", *app, *where],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_up(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{url}/health", timeout=2)  # noqa: S310 - loopback
            return
        time.sleep(0.05)
    raise PwrankError(
        "Prefect's API did not start; run `prefect server start` to see why, "
        "or point PREFECT_API_URL at a server of yours"
    )
