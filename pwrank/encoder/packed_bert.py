"""The layers of BERT and its kin with less between their matrix products.

Weights and hidden states are those of transformers' modules, which have the same names for BERT,
RoBERTa, XLM-RoBERTa and CamemBERT. Query, key and value are one product, and what goes into it is
cast once; residual sum and norm are one step. Activations lie packed, (size, dim), all the way.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from pwrank.encoder.add_norm import add_norm
from pwrank.encoder.packing import attend_packed, packed_offsets


class PackedBert(nn.Module):
    """Takes and returns what transformers' module does, for one block."""

    def __init__(self, network: Any) -> None:
        """Take over a network's weights. Raises AttributeError for one that is built otherwise."""
        super().__init__()
        self.config = network.config
        self.embeddings = network.embeddings
        self.layers = nn.ModuleList(PackedLayer(layer) for layer in network.encoder.layer)

    def forward(self, input_ids: Tensor, position_ids: Tensor) -> SimpleNamespace:
        """input_ids, position_ids (1, size) -> last hidden states (1, size, dim)."""
        states = self.embeddings(input_ids=input_ids, position_ids=position_ids)[0]
        offsets = packed_offsets(states.device)
        narrow = states
        for layer in self.layers:
            states, narrow = layer(states, narrow, offsets)
        return SimpleNamespace(last_hidden_state=states[None])


class PackedLayer(nn.Module):
    """Self-attention and feed-forward, a norm after each."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        own = layer.attention.self
        self.heads = own.num_attention_heads
        self.qkv = _side_by_side(own.query, own.key, own.value)
        self.out, self.norm_attention = (
            layer.attention.output.dense,
            layer.attention.output.LayerNorm,
        )
        self.up, self.activation = layer.intermediate.dense, layer.intermediate.intermediate_act_fn
        self.down, self.norm_output = layer.output.dense, layer.output.LayerNorm

    def forward(
        self, states: Tensor, narrow: Tensor, offsets: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """states (size, dim) float32, and as products take them -> both of the next layer."""
        qkv = self.qkv(narrow).view(len(narrow), 3, self.heads, -1)
        query, key, value = qkv.unbind(dim=1)
        mixed = self.out(attend_packed(query, key, value, offsets).flatten(1))
        states, narrow = add_norm(states, mixed, self.norm_attention)
        return add_norm(states, self.down(self.activation(self.up(narrow))), self.norm_output)


def _side_by_side(*layers: nn.Linear) -> nn.Linear:
    """One layer that gives the outputs of all, one after the other."""
    wide = sum(layer.out_features for layer in layers)
    joined = nn.Linear(layers[0].in_features, wide, bias=layers[0].bias is not None)
    with torch.no_grad():
        joined.weight.copy_(torch.cat([layer.weight for layer in layers]))
        if layers[0].bias is not None:
            joined.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return joined
