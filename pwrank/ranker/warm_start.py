"""A new ranker that begins with what an older one knew."""

from __future__ import annotations

import torch

from pwrank.ranker.model import Ranker


def adopt(ranker: Ranker, older: Ranker) -> None:
    """Warm start: take over every weight of an older ranker of the same shape, ids by name."""
    known = {identity: row + 1 for row, identity in enumerate(older.vocabulary)}
    pairs = [
        (new + 1, known[identity])
        for new, identity in enumerate(ranker.vocabulary)
        if identity in known
    ]
    own, theirs = ranker.state_dict(), older.state_dict()
    same_categories = ranker.categories == older.categories
    for name, value in theirs.items():
        by_position = "identity" in name or ("category" in name and not same_categories)
        if name in own and own[name].shape == value.shape and not by_position:
            own[name].copy_(value)
    if pairs:
        new_rows, old_rows = (torch.tensor(column) for column in zip(*pairs, strict=True))
        weight = ranker.item_encoder.identity.weight
        with torch.no_grad():
            weight[new_rows] = older.item_encoder.identity.weight[old_rows].to(weight.device)
