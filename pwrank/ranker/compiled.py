"""Loops that are compiled to machine code: the one place that knows numba.

A compiled loop works through its users one by one in a fixed order of operations, so what comes out
for a user never depends on who else is in the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

SETTINGS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    # Sums may be split over vector lanes: by their length alone, so the same way every time.
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, without the interpreter's lock; the code is kept on disk.

    Where no folder can be written, it is compiled once a process.
    """
    try:
        jitted: Any = numba.njit(cache=True, **SETTINGS)(function)
    except RuntimeError:
        jitted = numba.njit(**SETTINGS)(function)
    return cast("Callable[P, R]", jitted)
