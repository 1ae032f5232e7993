"""Temporary files and folders that their writer holds: a lock that dies with it tells who writes.

What nobody holds was left by a writer that was killed, and may go.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

TEMPORARY = ".tmp-held-"
"""Prefix of what is being written; its writer holds a lock on it, which dies with the writer."""


def held_file(folder: Path) -> tuple[int, Path]:
    """A new temporary file, open and locked. Its name has no ending, so no `*.json` finds it."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
        if _hold(handle):
            return handle, Path(name)


def held_folder(root: Path) -> tuple[int, Path]:
    """A new temporary folder, open and locked."""
    while True:
        scratch = Path(tempfile.mkdtemp(dir=root, prefix=TEMPORARY))
        with contextlib.suppress(FileNotFoundError):  # swept before it was held
            handle = os.open(scratch, os.O_RDONLY)
            if _hold(handle):
                return handle, scratch


def _hold(handle: int) -> bool:
    """Lock what was just made; false, and closed, where another run swept it before that."""
    fcntl.flock(handle, fcntl.LOCK_EX)
    if os.fstat(handle).st_nlink:
        return True
    os.close(handle)
    return False


def remove_if_abandoned(temporary: Path) -> bool:
    """Remove it unless a running writer holds its lock; locked while it goes."""
    try:
        handle = os.open(temporary, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
