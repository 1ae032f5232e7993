"""Interactions with items that the catalogue lacks: counted; where all are, the column is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pwrank.errors import SourceError
from pwrank.ingest import ingest
from tests.library.tiny_world import (
    AS_OF,
    FIRST_DAY,
    NOW,
    World,
    make_world,
    some_interactions,
    some_items,
    stage_night,
)


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
    assert (done.histories.rows, done.unknown_items) == (rows, 3)


def test_a_log_of_other_ids_is_refused_before_a_text_is_encoded(tmp_path, tiny_encoder):
    world = World(tmp_path, tiny_encoder)
    rows = write(world, strange=10_000)
    for _ in range(2):  # again where the histories lie there already
        with pytest.raises(SourceError, match=f"known items: the {rows} interactions .*'x0.*'00"):
            ingest(world.run())
    assert not (world.store.lake / "embeddings").exists()


def test_a_catalogue_that_was_mended_counts_at_once(tmp_path, tiny_encoder):
    world = World(tmp_path, tiny_encoder)
    world.write_drop("day.csv", some_interactions(FIRST_DAY))
    world.write_items([row | {"item_id": f"x{row['item_id']}"} for row in some_items()])
    with pytest.raises(SourceError, match="no interactions with known items"):
        ingest(world.run())
    world.write_items(some_items()[:5])
    some = ingest(world.run(now=NOW + timedelta(hours=1)))
    assert 0 < some.unknown_items < some.histories.rows
    world.write_items(some_items())
    assert ingest(world.run(now=NOW + timedelta(hours=2))).unknown_items == 0


def test_strange_items_that_are_rare_are_set_aside_and_not_counted(tmp_path, tiny_encoder):
    world = World(tmp_path, tiny_encoder)
    told = some_interactions(FIRST_DAY)
    gone = [(row[0], f"gone{n}", *row[2:]) for n, row in enumerate(told * 3)]
    world.write_drop("day.csv", told + gone)
    world.write_items(some_items())
    done = ingest(world.run(clean={"min_item_interactions": 2}))
    assert done.histories.rows > done.unknown_items == 0


def test_after_the_first_published_night_a_catalogue_may_be_all_new(tmp_path, tiny_encoder):
    world = make_world(tmp_path, tiny_encoder)
    stage_night(world.run()).publish()
    world.write_items([row | {"item_id": f"x{row['item_id']}"} for row in some_items()])
    done = ingest(world.run(as_of=AS_OF + timedelta(days=1), now=NOW + timedelta(days=1)))
    assert done.unknown_items == done.histories.rows > 0
