"""Epochs of a baseline that is trained, and which of them is the best."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

Lists = TypeVar("Lists")


def train_epochs(
    train: Callable[[], object],
    lists: Callable[[], Lists],
    judge: Callable[[Lists], float] | None,
    *,
    epochs: int,
    patience: int,
) -> tuple[Lists, int]:
    """Train for so many epochs, or with a judge until so many bring no better one.

    train: one epoch; lists: of the model as it stands. Returns the lists and the epochs behind
    them: with a judge the best ones, the first of equals.
    """
    best, highest, best_epoch = None, -1.0, epochs
    for epoch in range(1, epochs + 1):
        train()
        if judge is None:
            continue
        found = lists()
        figure = judge(found)
        if figure > highest:  # copied, since the training may go on in what they hold
            best, highest, best_epoch = copy.deepcopy(found), figure, epoch
        elif epoch - best_epoch >= patience:
            break
    return lists() if best is None else best, best_epoch
