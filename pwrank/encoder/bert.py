"""BERT, the usual encoder of short texts, from its files without the library that it was made with.

On a night with few new texts, importing transformers takes longer than encoding them. So the plain
form of the model, which most small sentence encoders have, is stated here by the names of
transformers' BertModel; the vectors are the same, byte for byte (tests/library/test_bert.py).
Whatever differs from the plain form is left to transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

PLAIN = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
"""What these settings must be, where a model has them."""

USUAL = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
"""Settings that a model may leave out, as transformers fills them in."""

ONLY_TRAINED_WITH = ("pooler.", "cls.", "embeddings.position_ids")
"""Beginnings of weights that its hidden states do not depend on."""

STRANGE = ("quantization_config", "embedding_size", "auto_map", "rope_scaling")
"""Settings that make it another model."""


def read_bert(folder: Path, settings: Mapping[str, Any]) -> Bert | None:
    """The model in a folder, in float32; None where it has not the plain form.

    settings: its config.json.
    """
    weights = folder / "model.safetensors"
    if not _is_plain(settings) or not weights.is_file():
        return None
    # Copied, since the file is mapped into memory and may change while the model is at work.
    tensors = {
        name: value.to(torch.float32, copy=True)
        for name, value in load_file(weights).items()
        if not name.startswith(ONLY_TRAINED_WITH)
    }
    with torch.device("meta"):
        model = Bert({name: settings.get(name, usual) for name, usual in USUAL.items()})
    expected = {name: value.shape for name, value in model.state_dict().items()}
    if {name: value.shape for name, value in tensors.items()} != expected:
        return None
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _is_plain(settings: Mapping[str, Any]) -> bool:
    kind = settings.get("model_type") == PLAIN["model_type"]
    usual = all(settings.get(name, wanted) == wanted for name, wanted in PLAIN.items())
    return kind and usual and not any(settings.get(name) for name in STRANGE)


class Bert(nn.Module):
    """Weights by the names that transformers gives them; `PackedBert` computes with them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = SimpleNamespace(**settings)
        self.embeddings = _Embeddings(self.config)
        self.encoder = nn.Module()
        layers = [_layer(self.config) for _ in range(self.config.num_hidden_layers)]
        self.encoder.layer = nn.ModuleList(layers)


class _Embeddings(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = _table(config.vocab_size, width)
        self.position_embeddings = _table(config.max_position_embeddings, width)
        self.token_type_embeddings = _table(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        states = self.word_embeddings(input_ids) + self.token_type_embeddings(
            torch.zeros_like(input_ids)
        )
        normal: Tensor = self.LayerNorm(states + self.position_embeddings(position_ids))
        return normal


def _table(rows: int, width: int) -> nn.Embedding:
    """Without the usual drawing of weights, which on `meta` alone imports 800 modules."""
    weights = torch.empty(rows, width)
    table: nn.Embedding = nn.Embedding.from_pretrained(weights)  # type: ignore[no-untyped-call]
    return table


def _layer(config: SimpleNamespace) -> nn.Module:
    width, inner = config.hidden_size, config.intermediate_size
    layer = nn.Module()
    layer.attention, layer.intermediate = nn.Module(), nn.Module()
    own = layer.attention.self = nn.Module()
    own.num_attention_heads = config.num_attention_heads
    own.query, own.key, own.value = (nn.Linear(width, width) for _ in range(3))
    layer.attention.output = _output(width, config)
    layer.intermediate.dense = nn.Linear(width, inner)
    layer.intermediate.intermediate_act_fn = nn.GELU()
    layer.output = _output(inner, config)
    return layer


def _output(inner: int, config: SimpleNamespace) -> nn.Module:
    output = nn.Module()
    output.dense = nn.Linear(inner, config.hidden_size)
    output.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
    return output
