"""Training state on disk: one safetensors file per epoch, replaced atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pwrank.store import replacing

CHECKPOINT_FILE = "checkpoint.safetensors"


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON facts to `folder/checkpoint.safetensors`, all or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(folder / CHECKPOINT_FILE) as temporary:
        save_file(plain, temporary, metadata={"facts": json.dumps(facts)})


def load_checkpoint(folder: Path | None) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of the newest epoch, or None where there is none."""
    if folder is None or not (folder / CHECKPOINT_FILE).is_file():
        return None
    with safe_open(folder / CHECKPOINT_FILE, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118


def clear_checkpoint(folder: Path | None) -> None:
    """Training is over: the checkpoint is of no more use."""
    if folder is not None:
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of Adam as named tensors: `<parameter number>/<slot>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}/{slot}": torch.as_tensor(value)
        for number, slots in state.items()
        for slot, value in slots.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, slot = name.split("/")
        # Cloned: what safetensors maps is not aligned, and vector code then rounds otherwise.
        state.setdefault(int(number), {})[slot] = value.clone()
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names with `prefix/` in front."""
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix/`, without it."""
    start = f"{prefix}/"
    return {n.removeprefix(start): v for n, v in tensors.items() if n.startswith(start)}
