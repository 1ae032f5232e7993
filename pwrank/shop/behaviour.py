"""What shoppers do: tastes over the items' attributes that drift, and short coherent sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pwrank.shop.catalogue import Catalogue, Floats, Ints
from pwrank.shop.shoppers import Shoppers

EVENTS = ("view", "cart", "purchase")
NO_RATING = 0
LONGEST_SESSION = 12

_BUSY = (0.9, 0.9, 0.9, 0.95, 1.0, 1.2, 1.25)
"""How busy each weekday is, from Monday."""
_SEEN_BEFORE = -1.5
"""Log-odds of an item the shopper has looked at before."""
_FASHIONABLE_SHARE = 0.2
_BOUGHT_SHARE = 0.5
"""Share of the carts that are bought."""
_RATED_SHARE = 0.4
"""Share of the purchases that are rated."""
_LONG_PAUSE_SHARE = 0.3
_HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 12], float)
"""How busy each hour is. Nobody starts after 22:00, so a session ends on the day it began."""


@dataclass(frozen=True)
class Events:
    """Interactions of one day, ordered by second. Row e of all fields is one event."""

    users: Ints
    items: Ints
    kinds: Ints
    """Index into `EVENTS`."""
    seconds: Ints
    """Since 00:00 UTC, below 86,400."""
    ratings: Ints
    """1 to 5, or `NO_RATING`."""

    def ordered(self) -> Events:
        """Sort the events by second, then user, then kind."""
        order = np.lexsort((self.kinds, self.users, self.seconds))
        columns = (self.users, self.items, self.kinds, self.seconds, self.ratings)
        return Events(*(column[order] for column in columns))


def simulate_days(
    catalogue: Catalogue,
    shoppers: Shoppers,
    *,
    num_days: int,
    first_weekday: int,
    rng: np.random.Generator,
) -> Iterator[Events]:
    """Yield the events of day 0, 1, ... A longer simulation begins with the same days.

    first_weekday: weekday of day 0, Monday is 0.
    """
    num_users, num_items = len(shoppers.user_ids), len(catalogue.item_ids)
    seen = np.zeros((num_users, num_items), dtype=np.bool_)
    trends = _Trends.draw(num_items, rng)
    for day in range(num_days):
        users = _visitors(shoppers, day, _BUSY[(first_weekday + day) % 7], rng)
        on_sale = (catalogue.launched_on <= day) & (day < catalogue.withdrawn_on)
        liking = _liking(catalogue, shoppers, users, day)
        appeal = liking + catalogue.fame + trends.at(day, catalogue.launched_on)
        appeal += _SEEN_BEFORE * seen[users]
        appeal[:, ~on_sale] = -np.inf
        views, items = _walk_sessions(catalogue, appeal, rng)
        seen[users[views], items] = True
        yield _happenings(users, views, items, liking[views, items], rng)


@dataclass(frozen=True)
class _Trends:
    """Bumps of fashion: an item rises, peaks and fades."""

    peak: Floats
    width: Floats
    height: Floats

    @classmethod
    def draw(cls, num_items: int, rng: np.random.Generator) -> _Trends:
        """Give a fifth of the items a bump; it comes again every 150 days."""
        height = np.where(
            rng.random(num_items) < _FASHIONABLE_SHARE, rng.uniform(1.0, 2.4, num_items), 0.0
        )
        return cls(rng.uniform(0, 150, num_items), rng.uniform(4, 14, num_items), height)

    def at(self, day: int, launched_on: Ints) -> Floats:
        """(num_items,) log lift on `day`: fashion, and the freshness of a new item."""
        distance = (day - self.peak + 75.0) % 150.0 - 75.0
        fashion = self.height * np.exp(-((distance / self.width) ** 2))
        age = np.maximum(day - launched_on, 0)
        return np.asarray(fashion + 1.2 * np.exp(-age / 12.0))


def _visitors(shoppers: Shoppers, day: int, busy: float, rng: np.random.Generator) -> Ints:
    """Who has a session on `day`; newcomers always come on their first day."""
    here = (shoppers.first_day <= day) & (day <= shoppers.last_day)
    comes = rng.random(len(here)) < shoppers.visits * busy
    # On day 0 half of everybody "arrives"; only those who would visit anyway do come.
    arrives = (shoppers.first_day == day) & (day > 0)
    return np.flatnonzero((here & comes) | arrives)


def _liking(catalogue: Catalogue, shoppers: Shoppers, users: Ints, day: int) -> Floats:
    """(users, items) log-odds of taste on `day`."""
    angle = shoppers.turn[users] * day
    early, late = np.cos(angle)[:, None], np.sin(angle)[:, None]
    liking = np.zeros((len(users), len(catalogue.item_ids)))
    for name, (first, second) in shoppers.tastes.items():
        taste = early * first[users] + late * second[users]
        liking += np.take(taste, catalogue.attributes[name], axis=1)
    return liking


def _walk_sessions(
    catalogue: Catalogue, appeal: Floats, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Walk all sessions of a day, step by step. appeal: (sessions, items).

    Returns the session and the item of each view, a session's views in order. The next item is
    like the one before, or of the leaf that follows its leaf; none comes twice in a session.
    """
    num_sessions = len(appeal)
    lengths = np.minimum(rng.geometric(0.32, size=num_sessions), LONGEST_SESSION)
    untouched = appeal.copy()
    items = _draw_items(untouched, rng)
    sessions = np.arange(num_sessions)
    walked = [(sessions, items)]
    for step in range(1, LONGEST_SESSION):
        untouched[sessions, items] = -np.inf
        goes_on = (lengths[sessions] > step) & np.isfinite(untouched[sessions]).any(axis=1)
        sessions, items = sessions[goes_on], items[goes_on]
        items = _draw_items(untouched[sessions] + _relatedness(catalogue, items), rng)
        walked.append((sessions, items))
    return np.concatenate([s for s, _ in walked]), np.concatenate([i for _, i in walked])


def _relatedness(catalogue: Catalogue, before: Ints) -> Floats:
    """Say how much likelier each item is right after `before`: (views, items) log-odds."""
    leaf, middle = catalogue.attributes["leaf"], catalogue.attributes["middle"]
    # The four leaves of a middle level stand side by side; people go round them in order.
    following = leaf[before] // 4 * 4 + (leaf[before] + 1) % 4
    related: Floats = 1.0 * (middle == middle[before][:, None])
    related += 1.2 * (leaf == leaf[before][:, None])
    related += 1.8 * (leaf == following[:, None])
    for name, lift in (("style", 0.8), ("colour", 0.4), ("use", 0.6)):
        values = catalogue.attributes[name]
        related += lift * (values == values[before][:, None])
    return related


def _draw_items(scores: Floats, rng: np.random.Generator) -> Ints:
    """(rows,) one item per row, with softmax probability of the row's scores."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-1e9))
    totals = np.cumsum(weights, axis=1)
    thresholds = rng.random(len(scores)) * totals[:, -1]
    return np.asarray((totals > thresholds[:, None]).argmax(axis=1))


def _happenings(
    users: Ints, sessions: Ints, items: Ints, liking: Floats, rng: np.random.Generator
) -> Events:
    """Turn the views of a day into events: what is liked goes to the cart, is bought, is rated."""
    views = len(items)
    carted = rng.random(views) < 1.0 / (1.0 + np.exp(3.3 - 0.35 * liking))
    bought = carted & (rng.random(views) < _BOUGHT_SHARE)
    stars = np.clip(np.rint(2.4 + 0.3 * liking + rng.normal(0.0, 0.8, views)), 1, 5)
    rated = bought & (rng.random(views) < _RATED_SHARE)
    seconds = _view_seconds(sessions, len(users), rng)
    cart_seconds = seconds + rng.integers(5, 60, views)
    buy_seconds = cart_seconds + rng.integers(20, 200, views)
    every = np.ones(views, dtype=np.bool_)
    parts = [(every, seconds, 0), (carted, cart_seconds, 1), (bought, buy_seconds, 2)]
    kinds = np.concatenate([np.full(int(mask.sum()), kind) for mask, _, kind in parts])
    ratings = np.where(rated, stars, NO_RATING).astype(np.int64)
    events = Events(
        users=np.concatenate([users[sessions[mask]] for mask, _, _ in parts]),
        items=np.concatenate([items[mask] for mask, _, _ in parts]),
        kinds=kinds,
        seconds=np.concatenate([when[mask] for mask, when, _ in parts]),
        ratings=np.where(
            kinds == EVENTS.index("purchase"),
            np.concatenate([ratings[mask] for mask, _, _ in parts]),
            0,
        ),
    )
    return events.ordered()


def _view_seconds(sessions: Ints, num_sessions: int, rng: np.random.Generator) -> Ints:
    """Time the views, (views,): the session's start plus the pauses since, short or long."""
    hours = rng.choice(len(_HOURS), size=num_sessions, p=_HOURS / _HOURS.sum())
    clock = hours * 3600 + rng.integers(0, 3600, num_sessions)
    pauses = np.where(rng.random(len(sessions)) < _LONG_PAUSE_SHARE, 270, 15) + rng.integers(
        5, 230, len(sessions)
    )
    seconds = np.empty(len(sessions), dtype=np.int64)
    for view, session in enumerate(sessions):  # views of a session stand in order
        seconds[view] = clock[session]
        clock[session] += pauses[view]
    return seconds
