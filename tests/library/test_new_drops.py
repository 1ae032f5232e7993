"""Which drops a night compares with which: many item files at once, files read by other rules."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pwrank.errors import GateRefusedError
from pwrank.gates.arrival import read_drift
from pwrank.ingest import ingest
from tests.library.lively_world import (
    FIRST_NOW,
    NEXT_NOW,
    START,
    TOMORROW,
    TONIGHT,
    lively_interactions,
    lively_items,
    make_lively_world,
)
from tests.library.tiny_world import stage_night


def test_quiet_days_that_are_read_by_other_rules_are_no_broken_drops(tmp_path, tiny_encoder):
    world = make_lively_world(tmp_path, tiny_encoder)
    quiet = START + timedelta(days=2)
    world.write_drop(f"{quiet}.csv", lively_interactions(quiet)[:12])
    stage_night(world.run(as_of=TONIGHT, now=FIRST_NOW)).publish()
    world.write_drop(f"{TONIGHT}.csv", lively_interactions(TONIGHT))

    def night(hours, column, pattern):
        rule = {"reason": "other", "column": column, "matches": pattern}
        now = NEXT_NOW + timedelta(hours=hours)
        return world.run(as_of=TOMORROW, now=now, clean={"reject": [rule]})

    # A rule that takes nearly everything is told from what the files had.
    told = "drop rows”: [0-9] usable rows, the file that it replaces had 160"
    with pytest.raises(GateRefusedError, match=told):
        ingest(night(0, "user_id", "^p(0[1-9]|[1-9])"))
    account = ingest(night(1, "event", "no such event")).landed["interactions"]
    assert (account["files"], account["files_unchanged"]) == (10, 0), "all are read anew"


def test_of_years_of_item_files_landed_in_one_night_the_last_few_are_described(
    tmp_path, tiny_encoder
):
    world = make_lively_world(tmp_path, tiny_encoder)
    (world.folder / "items.jsonl").unlink()
    (world.folder / "items").mkdir()
    for number in range(9):
        world.write_items(lively_items(), f"items/{number}.jsonl")
    night = {"source": {"items": "items"}, "drift": {"nights": 4}}
    stage_night(world.run(as_of=TONIGHT, now=NEXT_NOW, **night)).publish()
    world.write_items(lively_items()[-9:], "items/9.jsonl")
    ingest(world.run(as_of=TOMORROW, now=NEXT_NOW + timedelta(hours=1), **night))
    table = read_drift(world.store, TOMORROW)["tables"]["items"]
    assert table["drops"] == ["9.jsonl"]
    assert table["columns"]["title"]["usual"]["empty_share"] == 0.0
    profiles = list((world.store.control / "profiles" / "items").glob("*.json"))
    assert len(profiles) == 4 + 1, "the last files by name, and tonight's"


def test_of_several_item_files_a_night_each_kind_is_described(tmp_path, tiny_encoder):
    world = make_lively_world(tmp_path, tiny_encoder)
    (world.folder / "items.jsonl").unlink()
    (world.folder / "items").mkdir()
    kinds = {"books": lively_items()[:60], "toys": lively_items()[60:]}
    night = {"source": {"items": "items"}, "drift": {"nights": 3}}

    def bring(number):
        for kind, items in kinds.items():
            told = [item | {"category": kind, "text": str(number)} for item in items]
            world.write_items(told, f"items/{kind}-{number}.jsonl")
        return NEXT_NOW + timedelta(days=number)

    for number in range(3):
        ingest(world.run(as_of=TONIGHT, now=bring(number), **night))
    stage_night(world.run(as_of=TONIGHT, now=bring(3), **night)).publish()
    ingest(world.run(as_of=TOMORROW, now=bring(4), **night))
    category = read_drift(world.store, TOMORROW)["tables"]["items"]["columns"]["category"]
    assert (category["new_values_share"], category["psi"] < 0.01) == (0.0, True)
