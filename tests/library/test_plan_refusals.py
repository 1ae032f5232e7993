"""The planner refuses what the night would, and never what the night would take."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pwrank.errors import SourceError
from tests.library.test_plan import quick, work
from tests.library.tiny_world import AS_OF, NOW, some_interactions, some_items, stage_night

TOMORROW = AS_OF + timedelta(days=1)
AGAIN = some_items()[3] | {"title": "another"}


def test_rows_of_a_share_that_disagree_are_refused(tiny_world):
    path = tiny_world.write_items([AGAIN, *some_items(), *some_items(400)[20:]])
    with pytest.raises(SourceError, match=r"1 item ids .* such as '003' \(line 1: title 'another'"):
        quick(tiny_world.run(), share_bytes=path.stat().st_size // 10)


def test_the_beginning_of_a_file_does_not_tell_that_it_is_mostly_bad(tiny_world):
    for path in tiny_world.drops.iterdir():
        path.unlink()
    good = [row for day in range(40) for row in some_interactions(AS_OF - timedelta(days=day))]
    bad = [(*row[:2], "soon", *row[3:]) for row in good[:50]]
    path = tiny_world.write_drop("all.csv", [*bad, *good])
    run = tiny_world.run()
    told = work(quick(run, share_bytes=path.stat().st_size // 10), "ingest")
    assert told["rejected"] > run.config.clean.max_bad_share * told["rows"]
    landed = stage_night(tiny_world.run()).known.landed["interactions"]
    assert sum(landed["rejected"].values()) == len(bad)


def test_rejects_are_told_beside_the_rows(tiny_world):
    tiny_world.write_drop("bad.csv", [("", *some_interactions(AS_OF)[0][1:])] * 3)
    told = work(quick(tiny_world.run()), "ingest")
    landed = stage_night(tiny_world.run()).known.landed
    assert told["rows"] == sum(table["rows_in"] for table in landed.values())
    assert told["rejected"] == landed["interactions"]["rejected"]["user_id is missing"] == 3


def test_a_date_that_is_repeated_does_not_see_what_came_since(trained_world):
    stage_night(trained_world.run()).publish()
    trained_world.write_items([*some_items(), AGAIN])
    later = NOW + timedelta(days=1)
    quick(trained_world.run(now=later))
    stage_night(trained_world.run(now=later))
    with pytest.raises(SourceError, match="1 item ids"):
        quick(trained_world.run(as_of=TOMORROW, now=later))
