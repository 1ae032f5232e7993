"""What the computing libraries find on this machine."""

from __future__ import annotations

import ctypes
import os

import faiss
import torch


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def multiplies_bfloat16() -> bool:
    """Whether the processor itself multiplies bfloat16; emulated, it is slower than float32."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


KEPT_BYTES, MMAP_BYTES = 134_217_728, 33_554_432
"""Freed memory that a process keeps, and the size from which the kernel is asked directly."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""As glibc's malloc.h numbers them."""


def keep_freed_memory() -> None:
    """Do not hand freed memory back to the kernel at once, where the allocator can be told.

    A model's activations come and go by the megabyte. Given back each time, every page of them is
    zeroed and mapped anew: a fifth of the time of encoding.
    """
    process = ctypes.CDLL(None)
    if hasattr(process, "mallopt"):
        process.mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
        process.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def share_freed_memory() -> None:
    """Have threads share what others freed, where the allocator can be told: an arena a core.

    It makes up to eight arenas a core, and what one thread frees waits for the threads of the same
    arena. Each shard brings new threads, so the more shards, the more memory would lie idle.
    """
    process = ctypes.CDLL(None)
    if hasattr(process, "mallopt"):
        process.mallopt(M_ARENA_MAX, usable_cores())


def hand_back_freed_memory() -> None:
    """Give the kernel every freed page, where the allocator can be told: some 4 ms.

    For the end of much work that leaves holes between what is kept, which the next may not fit.
    """
    process = ctypes.CDLL(None)
    if hasattr(process, "malloc_trim"):
        process.malloc_trim(0)


def describe_machine() -> dict[str, str]:
    """Facts about the processor and the accelerator, as text."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; the CPU is used"
    return {
        "cores": f"{usable_cores()}, torch uses {torch.get_num_threads()} threads",
        "gpu": gpu,
        "bfloat16": _bfloat16(),
        "faiss": f"{faiss.__version__} {faiss.get_compile_options().strip()}",
    }


def _bfloat16() -> str:
    if torch.cuda.is_available():
        return "on the GPU"
    return "native" if multiplies_bfloat16() else "not native; float32 is used"
