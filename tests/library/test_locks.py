"""Locks: one run a date, and a dead holder holds nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import date

import pytest

from pwrank.errors import DateHeldError
from pwrank.locks import date_lease, landing_lock
from pwrank.store import Store

DAY = date(2024, 3, 8)
HOLDER = {"host": "here", "process": 41}

HOLD = """
import sys
from datetime import date
from pathlib import Path
from pwrank.locks import date_lease
from pwrank.store import Store
with date_lease(Store(Path(sys.argv[1])), date(2024, 3, 8), {"process": "other"}):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_run_of_a_date_is_refused_and_told_who_holds_it(tmp_path):
    store = Store(tmp_path)
    with (
        date_lease(store, DAY, HOLDER),
        pytest.raises(DateHeldError, match=r"2024-03-08 is held .*host here, process 41"),
        date_lease(store, DAY, {"process": 42}),
    ):
        pytest.fail("two runs hold one date")
    assert DateHeldError.exit_code == 4


def test_a_date_is_free_again_after_its_run_even_after_one_that_failed(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="broken"), date_lease(store, DAY, HOLDER):
        raise ValueError("broken")
    with date_lease(store, DAY, HOLDER):
        pass


def test_different_dates_may_run_at_once(tmp_path):
    store = Store(tmp_path)
    with date_lease(store, DAY, HOLDER), date_lease(store, date(2024, 3, 9), HOLDER):
        pass


def test_the_date_of_a_killed_run_is_free(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(DateHeldError, match="process other"),
        date_lease(Store(tmp_path), DAY, HOLDER),
    ):
        pytest.fail("the other process holds it")
    process.kill()
    process.communicate()
    with date_lease(Store(tmp_path), DAY, HOLDER):
        pass


def test_landing_waits_for_the_other_landing(tmp_path):
    store, order = Store(tmp_path), []

    def second() -> None:
        with landing_lock(store):
            order.append("second")

    thread = threading.Thread(target=second)
    with landing_lock(store):
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
