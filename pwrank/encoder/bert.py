"""BERT, the usual encoder of short texts, from its files without the library that it was made with.

On a night with few new texts, importing transformers takes longer than encoding them. So the plain
form of the model, which most small sentence encoders have, is stated here: names and operations are
those of transformers' BertModel, and so are the vectors, byte for byte
(tests/library/test_bert.py). Whatever differs from the plain form is left to transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pwrank.encoder.packing import packed_attention

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
    """Embeddings and layers; runs packed blocks only."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = SimpleNamespace(**settings)
        self.embeddings = _Embeddings(self.config)
        self.encoder = _Layers(self.config)

    def forward(self, input_ids: Tensor, position_ids: Tensor) -> SimpleNamespace:
        """(1, size) int64 each -> `last_hidden_state` (1, size, dim), as transformers names it."""
        states = self.encoder(self.embeddings(input_ids, position_ids))
        return SimpleNamespace(last_hidden_state=states)


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


class _Layers(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.layer = nn.ModuleList([_Layer(config) for _ in range(config.num_hidden_layers)])

    def forward(self, states: Tensor) -> Tensor:
        for layer in self.layer:
            states = layer(states)
        return states


class _Layer(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(width, inner)
        self.output = _Output(inner, width, config.layer_norm_eps)

    def forward(self, states: Tensor) -> Tensor:
        states = self.attention(states)
        result: Tensor = self.output(self.intermediate(states), states)
        return result


class _Attention(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _Output(config.hidden_size, config.hidden_size, config.layer_norm_eps)

    def forward(self, states: Tensor) -> Tensor:
        result: Tensor = self.output(self.self(states), states)
        return result


class _SelfAttention(nn.Module):
    is_causal = False

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        width = config.hidden_size
        self.each = width // config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, states: Tensor) -> Tensor:
        query, key, value = (
            part(states).view(*states.shape[:-1], -1, self.each).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        attended, _ = packed_attention(self, query, key, value, None, scaling=self.each**-0.5)
        return attended.reshape(*states.shape[:-1], -1)


class _Intermediate(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)
        self.intermediate_act_fn = nn.GELU()

    def forward(self, states: Tensor) -> Tensor:
        active: Tensor = self.intermediate_act_fn(self.dense(states))
        return active


class _Output(nn.Module):
    def __init__(self, inner: int, width: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dense(states) + residual)
        return result
