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

import re
from collections.abc import Mapping, Sequence
from typing import Any

_CREDENTIALS = re.compile(r"\b([a-zA-Z][\w+.-]*:/{1,2})[^\s/?#@]+@")


def without_credentials(text: str) -> str:
    """The text with `user:password@` of every URL in it hidden."""
    return _CREDENTIALS.sub(r"\1***@", text)


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


class ModelUnavailableError(InputError):
    """A pre-trained model cannot be loaded from where the configuration points."""


class LakeError(InputError):
    """The lake cannot be used: not writable, written by another version, or damaged."""


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


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: I/O errors, but not a missing file or a missing right."""
    permanent = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    return isinstance(error, OSError) and not isinstance(error, permanent)
