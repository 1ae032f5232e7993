"""What the ranker says of every item to somebody of whom nothing is known.

Taken out of a user's scores, it leaves what speaks for an item with this user: pointwise mutual
information, which Li et al. (NAACL 2016) weigh in the same way against answers that fit anything.
What everybody is shown gives way, so that all lists together show more of the catalogue.
"""

from __future__ import annotations

import numpy as np

from pwrank.ranker.history import FloatArray, group_by_user
from pwrank.ranker.night_scorer import NightScorer

ITEMS_AT_ONCE = 32_768
"""Scored together: some 20 MB."""


def newcomer_logits(night: NightScorer, items: int) -> FloatArray:
    """(items,) float32: what each item scores before the activation, without any history."""
    nothing = np.zeros(0, np.int64)
    nobody = group_by_user(nothing, nothing, nothing, num_users=1)
    told = np.empty(items, np.float32)
    for start in range(0, items, ITEMS_AT_ONCE):
        rows = np.arange(start, min(start + ITEMS_AT_ONCE, items), dtype=np.int64)
        told[rows] = night.as_in_lists(night.logit, nobody, rows[None])[0]
    return told
