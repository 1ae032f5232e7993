"""pwrank: ranks a catalogue for every user, every night, and publishes it as Parquet.

Stages (verbs)   ingest embed train index score evaluate publish
Things (nouns)   sources encoder ranker retrieval reranking metrics report …
Ground           store datasets config errors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwrank.publication import read_rankings

__all__ = ["read_rankings"]


def __getattr__(name: str) -> Any:
    """Import polars only when rankings are read, so that `pwrank --help` is quick."""
    if name == "read_rankings":
        from pwrank.publication import read_rankings

        return read_rankings
    raise AttributeError(f"module 'pwrank' has no attribute {name!r}")
