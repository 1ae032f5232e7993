"""Who comes to the shop: when, how often, and with which tastes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pwrank.shop.catalogue import ATTRIBUTE_SIZES, Floats, Ints

_TASTE_SPREAD = {
    "middle": 0.3,
    "leaf": 0.5,
    "style": 0.5,
    "colour": 0.4,
    "material": 0.4,
    "use": 0.6,
    "brand": 0.3,
}
"""Standard deviation of a shopper's taste per attribute, in units of log-odds."""
_FAVOURITES = {"middle": (2, 4.3), "style": (1, 1.6), "colour": (1, 0.8)}
"""Attribute -> how many values a shopper loves, and how much that adds."""
_ONE_VISIT_SHARE = 0.12
_REGULARS_SHARE = 0.5
"""Share of the shoppers who have been coming since before day 0."""


@dataclass(frozen=True)
class Shoppers:
    """Everybody who ever comes. Row u of all fields is shopper u."""

    user_ids: list[str]
    tastes: dict[str, tuple[Floats, Floats]]
    """Attribute name -> two (num_users, size) tastes; time turns the first into the second."""
    turn: Floats
    """(num_users,) how fast tastes drift, radians a day."""
    visits: Floats
    """(num_users,) chance of a session on an ordinary day; 0 for those who come once."""
    first_day: Ints
    last_day: Ints


def draw_shoppers(num_users: int, *, days: int, rng: np.random.Generator) -> Shoppers:
    """Draw who comes, when, how often, and what they like.

    Half are there from day 0; the others arrive evenly until shortly after day `days`.
    """
    visits = np.minimum(0.029 * rng.pareto(1.35, num_users) + 0.021, 0.85)
    visits[rng.random(num_users) < _ONE_VISIT_SHARE] = 0.0
    arrives = np.floor(rng.random(num_users) * days * 1.06).astype(np.int64)
    first_day = np.where(rng.random(num_users) < _REGULARS_SHARE, 0, arrives)
    first_day = np.where(visits > 0, first_day, arrives)
    stays = np.ceil(rng.exponential(220.0, num_users)).astype(np.int64)
    return Shoppers(
        user_ids=[f"u{10_000 + n}" for n in range(num_users)],
        tastes={
            name: (_draw_taste(num_users, name, rng), _draw_taste(num_users, name, rng))
            for name in ATTRIBUTE_SIZES
        },
        turn=rng.random(num_users) * 0.009,
        visits=visits,
        first_day=first_day,
        last_day=first_day + stays,
    )


def _draw_taste(num_users: int, attribute: str, rng: np.random.Generator) -> Floats:
    """(num_users, size) log-odds: a little of everything, and a few favourites."""
    size = ATTRIBUTE_SIZES[attribute]
    taste = rng.normal(0.0, _TASTE_SPREAD[attribute], (num_users, size))
    number, lift = _FAVOURITES.get(attribute, (0, 0.0))
    favourites = rng.integers(size, size=(num_users, number))
    taste[np.arange(num_users)[:, None], favourites] += lift
    return taste
