"""Loops that are compiled to machine code: the one place that knows numba.

A compiled loop works through its users one by one in a fixed order of operations, so what comes out
for a user never depends on who else is in the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=np.generic)

SETTINGS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    # Sums may be split over vector lanes: by their length alone, so the same way every time.
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}

LINE_BYTES = 64
"""Of a line of the cache, which is as wide as the widest register."""

TO_READ, TO_SECOND_CACHE, DATA = 0, 2, 1
"""As LLVM numbers what a fetch is for."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, without the interpreter's lock; the code is kept on disk.

    Where no folder can be written, it is compiled once a process.
    """
    try:
        jitted: Any = numba.njit(cache=True, **SETTINGS)(function)
    except RuntimeError:
        jitted = numba.njit(**SETTINGS)(function)
    return cast("Callable[P, R]", jitted)


def aligned(values: npt.NDArray[T]) -> npt.NDArray[T]:
    """A C-contiguous copy that begins with a line of the cache.

    numpy begins anywhere, and then each of the widest loads takes two lines: a sixth of the time of
    an inner product.
    """
    room = np.empty(values.nbytes + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    copy = room[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def _typed_fetch(_context: Any, array: Any, _place: Any) -> Any:
    """LLVM's prefetch of array[place], of an array of one dimension."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tools: Any = cgutils
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, arguments[0])
        shape, strides = (tools.unpack_tuple(builder, s) for s in (view.shape, view.strides))
        where = tools.get_item_pointer2(
            context, builder, view.data, shape, strides, kind.layout, [arguments[1]]
        )
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", (byte,), form)
        how = [number(TO_READ), number(TO_SECOND_CACHE), number(DATA)]
        builder.call(fetch, [builder.bitcast(where, byte), *how])
        return context.get_dummy_value()

    return numba.types.void(array, numba.types.intp), generate


_fetch_line: Any = intrinsic(_typed_fetch)


@compiled
def prefetch(array: npt.NDArray[Any], place: int) -> None:
    """For compiled loops: ask for array[place] of (n,), which will be read soon; changes nothing.

    The place may lie anywhere in the array or up to one line behind it.
    """
    _fetch_line(array, place)


def _typed_widen(_context: Any, value: Any) -> Any:
    """Bits of a bfloat16 as a float32; a float32 as it is."""
    if value == numba.types.float32:
        return numba.types.float32(value), lambda _context, _builder, _signature, given: given[0]

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(32)
        bits = builder.shl(builder.zext(arguments[0], wide), wide(16))
        return builder.bitcast(bits, ir.FloatType())

    return numba.types.float32(numba.types.uint16), generate


def _typed_narrow(_context: Any, _value: Any, like: Any) -> Any:
    """A float32 as an element of the array `like`."""
    kinds = (numba.types.float32, like)
    if like.dtype == numba.types.float32:
        return numba.types.float32(*kinds), lambda _context, _builder, _signature, given: given[0]

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(32)
        bits = builder.bitcast(arguments[0], wide)
        odd = builder.and_(builder.lshr(bits, wide(16)), wide(1))
        rounded = builder.add(bits, builder.add(odd, wide(0x7FFF)))
        return builder.trunc(builder.lshr(rounded, wide(16)), ir.IntType(16))

    return numba.types.uint16(*kinds), generate


_widen: Any = intrinsic(_typed_widen)
_narrow: Any = intrinsic(_typed_narrow)


@compiled
def widened(value: np.float32 | np.uint16) -> np.float32:
    """For compiled loops: a float32 as it is, or the float32 that is the bfloat16 of these bits."""
    found: np.float32 = _widen(value)
    return found


@compiled
def narrowed(value: np.float32, like: npt.NDArray[Any]) -> Any:
    """For compiled loops: a float32 for an array of them, its bfloat16's bits for one of uint16.

    Rounded to the nearest, halves to even. One loop so works in either precision.
    """
    return _narrow(value, like)
