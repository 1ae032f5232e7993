"""Interactions with items that the catalogue lacks: counted; where all are, the column is wrong."""

from __future__ import annotations

import pytest

from pwrank.errors import SourceError
from pwrank.ingest import ingest
from tests.library.tiny_world import FIRST_DAY, World, some_interactions, some_items


def write(world, *, strange):
    """Every interaction, the first `strange` of them with an item of no catalogue."""
    told = some_interactions(FIRST_DAY)
    world.write_items(some_items())
    world.write_drop(
        "day.csv",
        [(row[0], f"x{row[1]}" if n < strange else row[1], *row[2:]) for n, row in enumerate(told)],
    )
    return len(told)


def test_what_the_catalogue_lacks_is_counted(tmp_path, tiny_encoder):
    world = World(tmp_path, tiny_encoder)
    rows = write(world, strange=3)
    done = ingest(world.run())
    assert (done.histories.rows, done.histories.figures["unknown_items"]) == (rows, 3)


def test_a_log_of_other_ids_is_refused_before_a_text_is_encoded(tmp_path, tiny_encoder):
    world = World(tmp_path, tiny_encoder)
    rows = write(world, strange=10_000)
    for _ in range(2):  # again where the histories lie there already
        with pytest.raises(SourceError, match=f"known items: the {rows} interactions .*'x0.*'00"):
            ingest(world.run())
    assert not (world.store.lake / "embeddings").exists()
