"""What the shop sells: items with latent attributes, natural text and a life (launch, end)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pwrank.shop import tree
from pwrank.shop import vocabulary as words

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

OPENING_SHARE = 0.65
"""Share of the catalogue that is on sale on the first day; the rest is launched day by day."""
NEVER = 1_000_000
"""A day that does not come: not withdrawn, not rewritten."""

_MATERIALS: tuple[str, ...] = tuple(sorted({m for ms in words.MATERIALS for m in ms}))
_LEAF_MIDDLE: Ints = np.array([words.MIDDLES.index(p.rsplit(" > ", 1)[0]) for p in tree.LEAVES])
_USES_PER_MIDDLE = 3

ATTRIBUTE_SIZES: dict[str, int] = {
    "middle": len(words.MIDDLES),
    "leaf": len(tree.LEAVES),
    "style": len(words.STYLES),
    "colour": len(words.COLOURS),
    "material": len(_MATERIALS),
    "use": len(words.MIDDLES) * _USES_PER_MIDDLE,
    "brand": len(words.BRANDS),
}
"""How many values every latent attribute has."""


@dataclass(frozen=True)
class Catalogue:
    """Every item that is on sale at some time. Row i of all fields is item i.

    Day 0 is the day of the first drop; launches before it are negative days.
    """

    item_ids: list[str]
    attributes: dict[str, Ints]
    """Attribute name -> (num_items,) value of each item."""
    titles: list[str]
    texts: list[str | None]
    new_texts: list[str]
    """What the description says from `rewritten_on`."""
    categories: list[str]
    prices: Floats
    fame: Floats
    """(num_items,) log of lasting popularity."""
    launched_on: Ints
    withdrawn_on: Ints
    rewritten_on: Ints


def draw_catalogue(num_items: int, *, days: int, rng: np.random.Generator) -> Catalogue:
    """Draw `num_items` items, all of them launched before day `days`."""
    attributes = _draw_attributes(num_items, rng)
    titles: list[str] = []
    taken: set[str] = set()
    texts: list[str | None] = []
    new_texts: list[str] = []
    for item in range(num_items):
        parts = _words_of({name: int(values[item]) for name, values in attributes.items()}, rng)
        titles.append(_unused_title(parts, taken, rng))
        taken.add(titles[-1])
        texts.append(_describe(parts, rng))
        new_texts.append(_describe(parts, rng))
    _roughen(titles, texts, rng)
    launched_on = _draw_launches(num_items, days, rng)
    fame = rng.permutation(-1.1 * np.log(np.arange(num_items) + 8.0))
    return Catalogue(
        item_ids=[f"i{10_000 + n}" for n in range(num_items)],
        attributes=attributes,
        titles=titles,
        texts=texts,
        new_texts=new_texts,
        categories=[tree.LEAVES[leaf] for leaf in attributes["leaf"]],
        prices=np.floor(np.exp(rng.normal(3.3, 0.8, num_items)) + 3) + 0.95,
        fame=fame,
        launched_on=launched_on,
        withdrawn_on=_draw_later_days(launched_on, days, 0.03, rng),
        rewritten_on=_draw_later_days(launched_on, days, 0.04, rng),
    )


def _draw_attributes(num_items: int, rng: np.random.Generator) -> dict[str, Ints]:
    """Draw the latent attributes; materials and uses depend on the middle level."""
    share = rng.gamma(3.0, size=len(tree.LEAVES))
    leaf = rng.choice(len(tree.LEAVES), size=num_items, p=share / share.sum())
    middle = _LEAF_MIDDLE[leaf]
    material = [rng.choice(words.MATERIALS[one]) for one in middle]
    return {
        "middle": middle,
        "leaf": leaf,
        "style": rng.integers(len(words.STYLES), size=num_items),
        "colour": rng.integers(len(words.COLOURS), size=num_items),
        "material": np.array([_MATERIALS.index(name) for name in material]),
        "use": middle * _USES_PER_MIDDLE + rng.integers(_USES_PER_MIDDLE, size=num_items),
        "brand": rng.integers(len(words.BRANDS), size=num_items),
    }


def _words_of(values: dict[str, int], rng: np.random.Generator) -> dict[str, str]:
    """Choose how the attributes of one item are said."""
    parts = {
        "noun": _pick(tree.NOUNS[values["leaf"]], rng),
        "style": _pick(words.STYLES[values["style"]], rng),
        "colour": _pick(words.COLOURS[values["colour"]], rng),
        "material": _MATERIALS[values["material"]],
        "use": _pick(words.USES[values["middle"]][values["use"] % _USES_PER_MIDDLE], rng),
        "brand": words.BRANDS[values["brand"]],
        "model": _pick(words.MODELS, rng),
    }
    return parts | {name.capitalize(): _capitalised(parts[name]) for name in parts}


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _capitalised(text: str) -> str:
    """First letter upper case, the rest as it is (`str.capitalize` would lower "USB-C")."""
    return text[:1].upper() + text[1:]


def _unused_title(parts: dict[str, str], taken: set[str], rng: np.random.Generator) -> str:
    """Find a title that is not in `taken`, unless five tries fail."""
    title = ""
    for _ in range(5):
        title = _pick(words.TITLES, rng).format(**parts)
        if title not in taken:
            break
    return title


def _describe(parts: dict[str, str], rng: np.random.Generator) -> str:
    """One to three sentences, the first about the looks or the purpose."""
    look, purpose = _pick(words.LOOKS, rng), _pick(words.PURPOSES, rng)
    detail = _pick(words.DETAILS, rng)
    plans = ([look], [look, purpose], [purpose, look], [look, purpose, detail], [purpose, detail])
    plan = plans[int(rng.choice(len(plans), p=[0.1, 0.3, 0.2, 0.25, 0.15]))]
    return " ".join(sentence.format(**parts) for sentence in plan)


def _roughen(titles: list[str], texts: list[str | None], rng: np.random.Generator) -> None:
    """Give a few items what real feeds have: no text, mark-up, entities, odd white space."""
    order = rng.permutation(len(titles))
    share = max(1, len(titles) // 200)
    for place, item in enumerate(order[: 6 * share]):
        text = texts[item] or ""
        match place // share:
            case 0:
                texts[item] = None
            case 1:
                texts[item] = f"<p><b>New!</b> {text}</p><br/>"
            case 2:
                texts[item] = f"{text} &nbsp;Free delivery &amp; returns over &pound;30."
            case 3:
                texts[item] = "  " + text.replace(" ", "\u00a0 ", 3) + "\r\n\t"
            case 4:
                titles[item] = f"{titles[item]} ★ Été 26 · 50\u202f% ™"
            case _:
                texts[item] = f"{text} <script>alert('shop')</script>"


def _draw_launches(num_items: int, days: int, rng: np.random.Generator) -> Ints:
    """Day of launch per item, in order: negative for the opening catalogue, then 1 to days - 1."""
    num_opening = max(1, round(num_items * OPENING_SHARE)) if days > 1 else num_items
    opening = np.sort(-rng.integers(3, 700, size=num_opening))
    later = np.sort(rng.integers(1, max(days, 2), size=num_items - num_opening))
    return np.concatenate([opening, later]).astype(np.int64)


def _draw_later_days(launched_on: Ints, days: int, share: float, rng: np.random.Generator) -> Ints:
    """Draw a day after the launch for about `share` of the items, else `NEVER`."""
    earliest = np.maximum(launched_on, 0) + 1
    drawn = earliest + np.floor(rng.random(len(earliest)) * (days - earliest)).astype(np.int64)
    chosen = (rng.random(len(earliest)) < share) & (earliest < days)
    chosen[0] = False  # Something is always on sale.
    return np.where(chosen, drawn, NEVER)
