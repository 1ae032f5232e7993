"""A night that was refused is told by `pwrank status` until it, or a newer one, is published."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from pwrank.errors import GateRefusedError
from pwrank.ingest import ingest
from pwrank.refusals import note_refusal, open_refusal
from tests.library.lively_world import NEXT_NOW, TOMORROW, TONIGHT, lively_interactions
from tests.library.tiny_world import stage_night

GATE = {"gate": "churn", "passed": False, "override": "", "figure": ".9", "bound": "at most .8"}


def test_a_refused_date_is_told_until_it_is_published(lively_world, command):
    drop = f"{TONIGHT}.csv"
    lively_world.write_drop(drop, lively_interactions(TONIGHT)[:5])
    with pytest.raises(GateRefusedError):
        ingest(lively_world.run(as_of=TOMORROW, now=NEXT_NOW))
    asked = ("status", "--config", lively_world.config_file)
    out = command(*asked).out
    assert f"{TOMORROW} was refused at {NEXT_NOW:%Y-%m-%dT%H:%M:%S}; its page: " in out
    assert "    gate “drop rows”: 5 usable rows" in out
    told = json.loads(command(*asked, "--json").out)["refused"]
    assert (told["as_of"], told["gates"][0]["gate"]) == (str(TOMORROW), "drop rows")
    assert set(told["gates"][0]) == {"gate", "figure", "bound"}
    lively_world.write_drop(drop, lively_interactions(TONIGHT))
    stage_night(lively_world.run(as_of=TOMORROW, now=NEXT_NOW + timedelta(hours=1))).publish()
    assert "refused" not in command(*asked).out
    assert json.loads(command(*asked, "--json").out)["refused"] is None


def test_only_the_newest_refusal_is_told_and_none_that_a_newer_date_outlived(lively_world):
    store = lively_world.store
    note_refusal(store, TONIGHT - timedelta(days=1), [GATE], now=NEXT_NOW)
    assert open_refusal(store) is None
    for day in (TOMORROW, TONIGHT):
        note_refusal(store, day, [GATE, GATE | {"gate": "rows", "passed": True}], now=NEXT_NOW)
    found = open_refusal(store)
    assert (found["as_of"], len(found["gates"])) == (str(TOMORROW), 1)


def test_status_of_a_lake_whose_first_night_was_refused(tiny_world, command):
    note_refusal(tiny_world.store.open(), TONIGHT, [GATE], now=NEXT_NOW)
    out = command("status", "--config", tiny_world.config_file).out
    assert "nothing is published" in out
    assert "gate “churn”: .9, wanted at most .8" in out
