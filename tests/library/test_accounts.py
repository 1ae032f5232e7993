"""Rows in = landed + rejected; rows known = kept + set aside: on real data, nothing is lost."""

from __future__ import annotations

import shutil
from datetime import date

import pytest

from flows.console import stage_table
from pwrank.ingest import ingest
from pwrank.stage_log import StageRecord, write_stage_record
from tests.library.tiny_world import World

RETAIL_COLUMNS = {
    "user_id": "CustomerID",
    "item_id": "StockCode",
    "timestamp": "InvoiceDate",
    "title": "Description",
}
RETAIL_RULES = [
    {"reason": "cancelled", "column": "InvoiceNo", "matches": "^C"},
    {"reason": "no sale", "column": "Quantity", "below": 1},
    {"reason": "service code", "column": "StockCode", "matches": "^(POST|M|D|DOT|BANK CHARGES)$"},
]


def account_of(world: World, as_of: date):
    known = ingest(world.run(as_of=as_of))
    for table, told in known.landed.items():
        assert told["rows_in"] == told["rows_landed"] + sum(told["rejected"].values()), table
    figures = known.histories.figures
    assert figures["rows_in"] == known.landed["interactions"]["rows_landed"]
    assert figures["rows_in"] == known.histories.rows + sum(figures["set_aside"].values())
    return known


def test_the_table_of_stages_says_whose_peak_it_is(tiny_world):
    record = StageRecord("ingest", False, 7, 1.0, 1_234_000_000, {})
    write_stage_record(tiny_world.store.open(), date(2024, 3, 8), record)
    text, data = stage_table(tiny_world.configure(), date(2024, 3, 8))
    title, row = text.splitlines()[:2]
    assert title.endswith(" process peak MB")
    assert row.endswith(" 1,234")
    assert data[0]["peak_bytes"] == 1_234_000_000


def test_the_table_of_stages_says_where_the_cap_on_categories_could_not_hold(tiny_world):
    store, day = tiny_world.store.open(), date(2024, 3, 8)
    for over, said in ((0, False), (3, True)):
        figures = {"users": 16, "lists_over_cap": over}
        write_stage_record(store, day, StageRecord("evaluate", False, 0, 1.0, 1, figures))
        text, _ = stage_table(tiny_world.configure(), day)
        assert ("3 of 16 lists exceed [rerank] max_per_category" in text) == said


def test_the_account_of_a_tiny_log_adds_up_reason_by_reason(tiny_world):
    extra = [("u99", "999", "2024-03-03T10:00:00Z", 5, "view")] * 3
    tiny_world.write_drop("extra.csv", [*extra, ("u98", "000", "bad", 5, "view")])
    known = account_of(tiny_world, date(2024, 3, 8))
    assert known.landed["interactions"]["rows_in"] == 100
    assert sum(known.landed["interactions"]["rejected"].values()) == 1
    assert known.histories.figures["set_aside"] == {"after the cut": 12, "exact duplicate": 2}
    assert known.histories.rows == 85


def test_movielens_adds_up(tmp_path, tiny_encoder, real_data):
    world = World(tmp_path, tiny_encoder)
    folder = str(real_data / "ml-latest-small")
    world.settings["source"] = {"kind": "movielens", "folder": folder}
    known = account_of(world, date(2018, 1, 1))
    assert known.landed["interactions"]["rows_in"] == 100_836
    assert known.landed["items"]["rows_in"] == 9_742
    assert 0 < known.histories.figures["set_aside"]["after the cut"] < 10_000


def test_movietweetings_adds_up_and_keeps_leading_zeros(tmp_path, tiny_encoder, real_data):
    world = World(tmp_path, tiny_encoder)
    folder = str(real_data / "movietweetings-100k")
    world.settings["source"] = {"kind": "movielens", "folder": folder}
    known = account_of(world, date(2013, 8, 1))
    assert known.landed["interactions"]["rows_in"] == 100_000
    assert world.store.id_types().item == "string"


def test_three_days_of_a_shop_add_up_with_cancellations_and_service_codes(
    tmp_path, tiny_encoder, real_data
):
    world = World(tmp_path, tiny_encoder)
    world.drops.mkdir()
    for name in ("2010-12-01.csv", "2010-12-02.csv", "2010-12-03.csv"):
        shutil.copy(real_data / "online-retail" / "by-day" / name, world.drops)
    world.settings["source"] = {"items": "drops", "columns": RETAIL_COLUMNS}
    world.settings["clean"] = {"reject": RETAIL_RULES, "duplicate_items": "most_frequent"}
    known = account_of(world, date(2010, 12, 3))
    lines = sum(path.read_bytes().count(b"\n") - 1 for path in world.drops.iterdir())
    told = known.landed["interactions"]
    assert told["rows_in"] == lines == known.landed["items"]["rows_in"]
    assert {"cancelled", "service code", "user_id is missing"} <= set(told["rejected"])
    assert known.histories.figures["set_aside"]["exact duplicate"] > 0
    again = ingest(world.run(as_of=date(2010, 12, 4)))
    assert again.landed["interactions"]["files"] == 0
    assert again.histories.rows > known.histories.rows


@pytest.mark.parametrize("repeated", ["keep", "merge", "count"])
def test_whatever_is_done_with_repeats_the_account_adds_up(tiny_world, repeated):
    tiny_world.settings["clean"] = {
        "repeated": repeated,
        "min_user_interactions": 3,
        "min_item_interactions": 3,
        "positive_rating": 2,
        "unknown_items": "drop",
    }
    account_of(tiny_world, date(2024, 3, 8))
