"""A small log, catalogue and lists that the evaluation tests share."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from pwrank.datasets import HISTORIES, RANKINGS, IdTypes

AS_OF = date(2024, 3, 1)
CUT = datetime(2024, 3, 1, tzinfo=UTC)
ITEMS = list("abcdefgh")
CATALOGUE_FRAME = pl.DataFrame(
    {
        "item_id": ITEMS,
        "title": ITEMS,
        "category": ["x", "y"] * 4,
        "available": [True] * 8,
        "text": ITEMS,
        "content_hash": [item.upper() for item in ITEMS],
    }
)


def log(rows):
    """Rows of (user, item, days after the cut)."""
    return pl.DataFrame(
        [(u, i, "view", CUT + timedelta(days=days), None, 1.0) for u, i, days in rows],
        schema=HISTORIES.schema(IdTypes()),
        orient="row",
    )


def rankings(lists, as_of=AS_OF, sources="ranker"):
    rows = [
        (user, rank, item, 1.0 / (rank + 1), sources, [], as_of, "m1")
        for user, items in sorted(lists.items())
        for rank, item in enumerate(items, 1)
    ]
    return pl.DataFrame(rows, schema=RANKINGS.schema(IdTypes()), orient="row")


HISTORY = log(
    [("u", "a", -9), ("u", "b", -8), ("v", "a", -7), *[("w", item, -60) for item in "abcabc"]]
)
LISTS = {"u": "cdef", "v": "bcde", "w": "defg"}
