"""Users in blocks of one fixed shape, so that no user's numbers depend on who else is scored.

A matrix product rounds by its shape. So histories are padded to a length that depends on the user's
own length only, and users of one padded length go through the model in blocks of equally many, the
last one filled up with users who did nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pwrank.ranker.history import Histories, IntArray
from pwrank.ranker.model import ItemTable, Ranker, UserTable

BLOCK_USERS = 64
"""Users in every block."""

SHORTEST = 8
"""States, at least, to which a history with the start before it is padded."""


@dataclass(frozen=True)
class UserBlock:
    """Users who are scored together."""

    users: IntArray
    """(m,) numbers of at most BLOCK_USERS users."""
    width: int
    """Interactions to which their histories are padded."""


def user_blocks(histories: Histories, users: IntArray, longest: int) -> Iterator[UserBlock]:
    """Cut the given users into blocks; longest: interactions that the model reads."""
    known = np.bincount(histories.user[histories.item >= 0], minlength=histories.num_users)
    widths = padded(np.minimum(known[users], longest), longest)
    for width in np.unique(widths):
        group = users[widths == width]
        for start in range(0, len(group), BLOCK_USERS):
            yield UserBlock(group[start : start + BLOCK_USERS], int(width))


def padded(lengths: IntArray, longest: int) -> IntArray:
    """Interactions to which histories of these lengths are padded, by their own length alone.

    Steps grow with the length, a quarter of the next power of two: each width that occurs ends in
    a block that is not full, which costs more than some padding.
    """
    states = np.maximum(lengths + 1, SHORTEST)
    step = np.maximum(2 ** (np.ceil(np.log2(states)).astype(np.int64) - 2), SHORTEST)
    widths: IntArray = np.minimum(-(-states // step) * step - 1, longest)
    return widths


def block_table(
    ranker: Ranker, histories: Histories, block: UserBlock, items: ItemTable
) -> UserTable:
    """The users of a block seen through the model: always BLOCK_USERS of them, its own first."""
    padded = histories.select(block.users).filled_up(BLOCK_USERS)
    return ranker.user_table(padded, items, width=block.width)
