"""What the computing libraries find on this machine."""

from __future__ import annotations

import os

import faiss
import torch


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 - no public question
    return "native" if native else "not native; float32 is used"
