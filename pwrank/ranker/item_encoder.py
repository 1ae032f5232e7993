"""Item vectors: projected text + id embedding + categories.

The id embedding is what a log teaches about an item; it is dropped at random in training and
missing for an item the log has never seen, so that the text alone must do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ItemInputs:
    """A catalogue as tensors, in the model's own id vocabulary."""

    text: Tensor
    """(n, text_dim) float32, zero row = no text."""
    identity: Tensor
    """(n,) int64: row of the id embedding, 0 = not in the vocabulary."""
    category_offsets: Tensor
    """(n + 1,) int64."""
    category_labels: Tensor
    """(k,) int64, in the model's own category vocabulary; 0 = not in it."""
    label_table: Tensor | None = None
    """(n, most labels of an item) int64, the same labels, 0 where there are fewer."""


def with_label_table(inputs: ItemInputs) -> ItemInputs:
    """The same, for steps whose shapes must not depend on which items they need."""
    lengths = inputs.category_offsets.diff()
    wide = max(int(lengths.max()), 1) if len(lengths) else 1
    table = inputs.category_labels.new_zeros(len(lengths), wide)
    place = torch.arange(wide, device=table.device)
    table[place < lengths.unsqueeze(1)] = inputs.category_labels
    return replace(inputs, label_table=table)


class ItemEncoder(nn.Module):
    """Catalogue -> (n, dim) vectors."""

    def __init__(
        self, *, text_dim: int, vocabulary: int, categories: int, dim: int, id_dropout: float
    ) -> None:
        super().__init__()
        self.id_dropout = id_dropout
        self.text = nn.Linear(text_dim, dim)
        self.identity = nn.Embedding(vocabulary + 1, dim, padding_idx=0)
        self.category = nn.EmbeddingBag(
            categories + 1, dim, mode="mean", include_last_offset=True, padding_idx=0
        )
        nn.init.normal_(self.text.weight, std=text_dim**-0.5)
        nn.init.zeros_(self.text.bias)
        nn.init.normal_(self.identity.weight, std=0.02)
        nn.init.normal_(self.category.weight, std=0.02)
        with torch.no_grad():
            self.identity.weight[0] = 0.0
            self.category.weight[0] = 0.0

    def forward(self, inputs: ItemInputs, rows: Tensor | None = None) -> Tensor:
        """(n, dim), or (len(rows), dim) for the given items only."""
        text, identity = inputs.text, inputs.identity
        if rows is not None:
            text, identity = text[rows], identity[rows]
        if self.training and self.id_dropout > 0:
            dropped = torch.rand(identity.shape, device=identity.device) < self.id_dropout
            identity = identity.masked_fill(dropped, 0)
        vectors: Tensor = self.text(text) + self.identity(identity)
        if len(inputs.category_labels):
            vectors = vectors + self._categories(inputs, rows)
        return vectors

    def _categories(self, inputs: ItemInputs, rows: Tensor | None) -> Tensor:
        """Mean of the embeddings of each item's categories."""
        if inputs.label_table is not None:
            table = inputs.label_table if rows is None else inputs.label_table[rows]
            weight = self.category.weight
            return functional.embedding_bag(table, weight, mode="mean", padding_idx=0)
        labels, offsets = inputs.category_labels, inputs.category_offsets
        if rows is not None:
            labels, offsets = _select_bags(labels, offsets, rows)
        bags: Tensor = self.category(labels, offsets)
        return bags


def _select_bags(labels: Tensor, offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The label lists of some rows, as labels and offsets of their own."""
    lengths = offsets[rows + 1] - offsets[rows]
    chosen = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    starts = torch.repeat_interleave(offsets[rows] - chosen[:-1], lengths)
    picked = torch.arange(int(chosen[-1]), device=labels.device) + starts
    return labels[picked], chosen
