"""How an item can get into a list: the values of the column `source`."""

from __future__ import annotations

RANKER = "ranker"
"""Retrieved for the user and scored by the point-wise ranker."""
RANKER_TEXT = "ranker_text"
"""The same, for an item that the model never met and knows by its text and category only."""
RANKER_NO_VECTOR = "ranker_no_vector"
"""The same, but the item's text has no vector tonight: known by its id and category only."""
RANKER_STALE_MODEL = "ranker_stale_model"
"""The same, by the last good model: a new one was due and could not be trained."""
EXPLORE = "explore"
"""Rarely touched; placed by the exploration dial of `[rerank]`."""
POPULAR = "popular"
"""The user has no usable history: what is popular now, as the model has learned to weigh it."""
POPULAR_FILL = "popular_fill"
"""Retrieval gave fewer items than the list needs: filled up with what is popular now."""

ALL_SOURCES = (
    RANKER,
    RANKER_TEXT,
    RANKER_NO_VECTOR,
    RANKER_STALE_MODEL,
    EXPLORE,
    POPULAR,
    POPULAR_FILL,
)

PERSONAL_SOURCES = (RANKER, RANKER_TEXT, RANKER_NO_VECTOR, RANKER_STALE_MODEL)
"""Sources that look at the user."""
