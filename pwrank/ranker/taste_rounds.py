"""How many rounds factors of ratings are fitted: as many as foretell the latest window best.

Rounds that go on fit a dense log too closely, while a sparse one has hardly begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pwrank.ranker.examples import Examples, prefixes
from pwrank.ranker.history import Histories
from pwrank.ranker.item_encoder import ItemInputs
from pwrank.ranker.taste_factors import Floats, TasteFactors

USUAL_ROUNDS = 20
"""Where there is nothing to choose by."""

ROUNDS = (10, 15, 20, 30)
"""What is tried."""

WORSE_IN_A_ROW = 2
"""So many numbers of rounds, each worse than the best, end the search."""

MOST_EXAMPLES = 4000
"""Rated rows that the choice is made by."""

BLOCK_EXAMPLES = 1024


@dataclass(frozen=True)
class Window:
    """Later ratings that factors are judged by."""

    log: Histories
    inputs: ItemInputs
    examples: Examples
    """Row `stop` - 1 of each is foretold from the history before `end`."""


def choose_rounds(
    fitted: Iterator[TasteFactors], window: Window, tried: tuple[int, ...]
) -> tuple[int, TasteFactors]:
    """Of factors after each number of rounds those with the smallest error; of equals the first."""
    best, lowest, worse = None, np.inf, 0
    for rounds, factors in zip(tried, fitted, strict=False):
        error = squared_error(factors, window)
        worse = 0 if error < lowest else worse + 1
        if best is None or error < lowest:
            best, lowest = (rounds, factors), error
        if worse == WORSE_IN_A_ROW:
            break
    if best is None:
        raise ValueError("no number of rounds to choose from")
    return best


def squared_error(factors: TasteFactors, window: Window) -> float:
    """Mean, over the examples, of how far the rating is from what is expected, squared."""
    items = factors.items(window.inputs)
    gaps: list[Floats] = []
    for block in window.examples.blocks(BLOCK_EXAMPLES):
        rows = block.stop - 1
        users = factors.users(prefixes(window.log, block), items)
        told, _ = factors.predict(users, items, window.log.item[rows][:, None])
        gaps.append(window.log.rating[rows] - told[:, 0])
    return float(np.mean(np.concatenate(gaps) ** 2))
