"""The errors of pwrank, named by what the caller can do about them.

PwrankError                     something went wrong and we know what
├── InputError        exit 2    the user can mend it: file, column, key or argument
│   ├── ConfigError             the configuration file or an override
│   ├── SourceError             a source file, or what stands in it
│   ├── ModelUnavailableError   a pre-trained model that cannot be loaded
│   └── LakeError               the lake: not writable, another version, damaged
├── GateRefusedError  exit 3    a gate refused to publish; the last good night stays current
├── DateHeldError     exit 4    another run holds this as-of date
└── ContractError     exit 1    a dataset breaks its own contract: a defect of pwrank

Messages are one or two lines: the place, the fact, the next step.
None of these heals by itself, so none is retried; an `OSError` may heal (see `is_transient`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_CREDENTIALS = re.compile(r"\b([a-zA-Z][\w+.-]*:/{1,2})[^\s/?#@]+@")


def without_credentials(text: str) -> str:
    """The text with `user:password@` of every URL in it hidden."""
    return _CREDENTIALS.sub(r"\1***@", text)


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class PwrankError(Exception):
    """Base of every error that pwrank raises on purpose; credentials in URLs are not repeated."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(without_credentials(message))


class InputError(PwrankError):
    """The user can mend it: exit code 2."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration file, or a value given by environment or option, is wrong."""


class SourceError(InputError):
    """A source file is missing, unreadable, or does not hold what the configuration says."""


class ColumnError(SourceError):
    """A source file lacks a column that is to be read."""


class ModelUnavailableError(InputError):
    """A pre-trained model cannot be loaded from where the configuration points."""


class LakeError(InputError):
    """The lake cannot be used: not writable, written by another version, or damaged."""


def unwritable(lake: Path, why: str) -> LakeError:
    """The error about a lake that this user may not write; why: as the system says it."""
    return LakeError(
        f"lake {lake}: cannot be written ({why}); let this user write it, or set `lake` to a "
        "folder that they may write"
    )


class GateRefusedError(PwrankError):
    """A gate refused the staged rankings: exit code 3.

    `gates` holds every verdict, as JSON values.
    """

    exit_code = 3

    def __init__(self, message: str, gates: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.gates = gates


class DateHeldError(PwrankError):
    """Another run holds this as-of date: exit code 4."""

    exit_code = 4


class ContractError(PwrankError):
    """A dataset breaks its own contract; a defect of pwrank rather than of the input."""


OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Full, read-only and failing disks."""


def machine_error(error: BaseException) -> int | None:
    """Which of OF_THE_MACHINE is behind an error that is none of ours; None if none is.

    Libraries such as safetensors pass the system's words on, but not its number.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in OF_THE_MACHINE else None
    if isinstance(error, PwrankError):
        return None
    told = str(error)
    return next((number for number in OF_THE_MACHINE if os.strerror(number) in told), None)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Tell what the machine lacks while a file is written as an OSError that names the file.

    Libraries do not name it, some call a full disk a file out of specification, and the system
    names the temporary file.
    """
    try:
        yield
    except Exception as error:
        number, named = machine_error(error), getattr(error, "filename", None)
        if number is None or (named and Path(named).parent != path.parent):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: I/O errors, but not a missing file or a missing right."""
    permanent = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    if machine_error(error) is not None:
        return True
    return isinstance(error, OSError) and not isinstance(error, permanent)
