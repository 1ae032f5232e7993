"""A file system of its own for a lake: small, or read-only. Needs the right to mount."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def may_mount(folder: Path) -> bool:
    """Whether this user can give a folder a file system."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError), small_disk(folder, 1 << 20):
        return True
    return False


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A memory file system of so many bytes at a folder, which keeps what it holds meanwhile."""
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    except BaseException:
        folder.rmdir()
        aside.rename(folder)
        raise
    try:
        subprocess.run(["cp", "--archive", f"{aside}/.", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()
        aside.rename(folder)


def remount(folder: Path, options: str) -> None:
    """Change a mounted file system: `size=…`, `ro` or `rw`."""
    _mount("-o", f"remount,{options}", str(folder))


def used(folder: Path) -> int:
    """Bytes that a file system holds."""
    return shutil.disk_usage(folder).used


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
