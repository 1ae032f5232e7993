"""A small world with a known taste: users of one of two groups take items of their own group."""

from __future__ import annotations

import numpy as np

from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.history import Histories, group_by_user

DAY = 86_400


def two_tastes(
    *, users: int = 80, items: int = 40, length: int = 12
) -> tuple[Histories, Catalogue]:
    """Even users take even items, odd users odd ones; texts tell the groups apart."""
    rng = np.random.default_rng(7)
    user = np.repeat(np.arange(users), length)
    own = [rng.permutation(items // 2)[:length] * 2 + u % 2 for u in range(users)]
    item = np.concatenate(own)
    timestamp = rng.integers(0, 60 * DAY, len(user))
    rating = rng.integers(1, 6, len(user)).astype(np.float32)
    histories = group_by_user(user, item, timestamp, num_users=users + 1, rating=rating)
    text = rng.normal(size=(items, 16)).astype(np.float32) * 0.3
    text[:, 0] += np.where(np.arange(items) % 2, 1.0, -1.0)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    catalogue = Catalogue(
        item_ids=np.array([f"i{n:03d}" for n in range(items)], dtype=object),
        text=text,
        category_offsets=np.arange(items + 1, dtype=np.int64),
        category_labels=np.arange(items, dtype=np.int64) % 4 // 2,
        category_names=("garden", "kitchen"),
        available=np.ones(items, np.bool_),
    )
    return histories, catalogue
