"""How a model's token states become one vector: what its own files declare, else its family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pwrank.config import EncoderConfig
from pwrank.errors import ModelUnavailableError

Pooling = Literal["mean", "cls", "last"]

POOLING_NAMES: dict[str, Pooling] = {
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean",  # the same direction, and vectors are normalised
    "cls": "cls",
    "lasttoken": "last",
}
LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def sentence_transformers_layout(root: Path, config: EncoderConfig) -> tuple[Path, Pooling | None]:
    """Folder of the transformer, and the pooling that modules.json declares, if there is one."""
    if not (root / "modules.json").is_file():
        return root, None
    modules = json.loads((root / "modules.json").read_text(encoding="utf-8"))
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    folder = root / modules[0]["path"] if kinds[0] == "Transformer" else root
    if config.pooling != "auto":
        return folder, None
    others = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    modes = [_pooling_mode(root / m["path"], k) for m, k in zip(modules, kinds, strict=True)]
    declared = [mode for mode in modes if mode]
    if others or len(declared) != 1 or declared[0] not in POOLING_NAMES:
        what = ", ".join(others) or " and ".join(declared) or "no pooling"
        raise ModelUnavailableError(
            f"[encoder] model {config.model!r} ends in a layer that pwrank has not: {what}; "
            "set `pooling` to mean, cls or last to do without, or choose another model"
        )
    return folder, POOLING_NAMES[declared[0]]


def _pooling_mode(folder: Path, kind: str) -> str | None:
    if kind != "Pooling":
        return None
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    mode = content.get("pooling_mode") or [
        name for key, name in LEGACY_POOLING.items() if content.get(key)
    ]
    return mode if isinstance(mode, str) else "+".join(mode) or "mean"


def is_decoder(settings: dict[str, Any]) -> bool:
    """Whether transformers knows this architecture as a language model and not as a masked one."""
    kind = settings.get("model_type")
    if settings.get("is_decoder") or kind == "bert":
        return bool(settings.get("is_decoder"))
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    return (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
