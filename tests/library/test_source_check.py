"""A look at the source before anything runs: each file, each reason, and what a run will refuse."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest

from pwrank.errors import SourceError
from pwrank.landing.suppression import Suppression, write_record
from pwrank.planning import source_check
from pwrank.planning.source_check import check_source
from pwrank.planning.source_sample import Rejected
from tests.library.test_bad_input import REFUSED_BY_A_RUN
from tests.library.tiny_world import AS_OF, NOW, some_interactions, some_items, stage_night

ROW = ("u", "001", "2024-03-09", 1, "e")


def look(world, **sections):
    checked = check_source(world.configure(**sections), as_of=AS_OF, now=NOW)
    return {told.table: told for told in checked}


def test_each_file_is_looked_at_and_each_reason_has_its_first_row(tiny_world):
    tiny_world.write_drop("2024-03-02.csv", [ROW, ("", *ROW[1:]), ("u", "001", "soon", 1, "e")] * 3)
    tiny_world.write_drop("2024-03-09.csv", [ROW, ("v", "001", "2031-01-01", 1, "e")])
    found = look(tiny_world, clean={"max_bad_share": 0.9})
    assert set(found) == {"interactions", "items"}
    told = found["interactions"]
    assert (told.files, told.rows, told.usable) == (9, 7 * 12 + 9 + 2, 7 * 12 + 4)
    files = {file.file: file for file in told.checked}
    assert len(files) == 9
    user, time = files["2024-03-02.csv"].rejected
    assert (user.reason, user.rows, user.line) == ("user_id is missing", 3, 3)
    assert json.loads(user.raw)["item_id"] == "001"
    assert (time.rows, time.line, json.loads(time.raw)["timestamp"]) == (3, 4, "soon")
    (late,) = files["2024-03-09.csv"].rejected
    assert (late.reason, late.line) == ("timestamp is in the future", 3)
    assert told.rejected == {user.reason: 3, time.reason: 3, late.reason: 1}
    assert told.example["source_line"] == 2
    assert not told.refusals


def test_the_example_of_a_table_is_the_first_of_its_fullest_rows(tiny_world):
    items = [
        {"item_id": "000", "title": "", "category": ""},
        {"item_id": "001", "title": "a lamp", "category": "home"},
        {"item_id": "002", "title": "a chair", "category": "home"},
    ]
    tiny_world.write_items(items)
    assert look(tiny_world)["items"].example["title"] == "a lamp"


def test_the_command_shows_file_line_and_row_of_a_reject(tiny_world, command):
    tiny_world.write_drop("2024-03-02.csv", [ROW, ("", *ROW[1:])])
    told = command("check", "--config", tiny_world.config_file)
    assert told.code == 0
    assert "  2024-03-02.csv: 2 rows, 1 usable\n" in told.out
    assert '    1 rejected: user_id is missing; e.g. line 3: {"user_id": "", "item_id"' in told.out
    assert "  2024-03-08.csv: 12 rows, 12 usable\n" in told.out


def test_fewer_candidates_than_a_list_is_long_are_told(tiny_world, command):
    asked = ("--config", tiny_world.config_file)
    assert "candidates =" not in command("check", *asked).out
    tiny_world.configure(score={"k": 9, "candidates": 7})
    assert "[score] candidates = 7 is below k = 9" in command("check", *asked).out
    told = command("plan", *asked, "--as-of", AS_OF).out
    assert "3 of 3 shards, candidates raised to k = 9; 16 users, 144 pairs" in told


def test_of_many_files_those_with_rejects_and_the_newest_are_shown(tiny_world, command):
    for number in range(30):
        day = AS_OF - timedelta(days=number)
        tiny_world.write_drop(f"{day}.csv", some_interactions(day))
    tiny_world.write_drop("2024-03-02.csv", [ROW, ("", *ROW[1:])])
    lines = command("check", "--config", tiny_world.config_file).out.splitlines()
    shown = [line.strip() for line in lines if line.startswith("  2024-")]
    assert shown == ["2024-03-02.csv: 2 rows, 1 usable", "2024-03-08.csv: 12 rows, 12 usable"]
    assert "  and 28 more: 336 rows looked at, 336 usable" in lines


def test_of_very_many_files_the_newest_are_looked_at(tiny_world, command, monkeypatch):
    monkeypatch.setattr(source_check, "MOST_FILES", 2)
    lines = command("check", "--config", tiny_world.config_file).out.splitlines()
    shown = [line.strip() for line in lines if line.startswith("  2024-")]
    assert shown == ["2024-03-07.csv: 12 rows, 12 usable", "2024-03-08.csv: 12 rows, 12 usable"]
    assert "  and 6 older files that were not looked at" in lines
    # Those may hold what these lack.
    for day in ("2024-03-07", "2024-03-08"):
        tiny_world.write_drop(f"{day}.csv", [])
    assert look(tiny_world)["interactions"].refusals == ()


def test_of_a_large_file_the_first_rows_are_looked_at(tiny_world, monkeypatch):
    monkeypatch.setattr(source_check, "FILE_ROWS", 15)
    again = some_items()[3] | {"title": "another"}
    tiny_world.write_items([*some_items(), again])
    told = look(tiny_world)["items"]
    assert (told.rows, told.checked[0].whole, told.refusals) == (15, False, ())
    tiny_world.write_items([again, *some_items()])
    (refusal,) = look(tiny_world)["items"].refusals
    assert "items.jsonl: 1 item ids stand in rows that disagree, such as '003' (line 1" in refusal
    # The rest of the file may have texts.
    tiny_world.write_items(
        [{**item, "title": "", "text": "", "category": ""} for item in some_items()]
    )
    assert look(tiny_world)["items"].refusals == ()


def test_a_long_file_that_begins_badly_is_told_by_its_first_rows_and_may_be_better(
    tiny_world, command, stages, monkeypatch
):
    monkeypatch.setattr(source_check, "FILE_ROWS", 15)
    good = {"user_id": "u", "item_id": "001", "timestamp": "2024-03-02"}
    rows = [good | {"timestamp": "soon"}] * 12 + [good] * 28
    tiny_world.write_items(rows, "drops/2024-03-09.jsonl")
    certain = tiny_world.write_drop("2024-03-10.csv", [("u", "001", "soon", 1, "e")])
    of_the_first = "9.jsonl: 12 of the first 15 rows (of all in a run) are unusable, most of them"
    told = command("check", "--config", tiny_world.config_file)
    told.refuses(["run will refuse: ", "03-10.csv: 1 of 1 rows are unusable", of_the_first])
    assert told.err.index("03-10.csv") < told.err.index(of_the_first)
    certain.unlink()
    command("check", "--config", tiny_world.config_file).refuses(["may refuse: ", of_the_first])
    assert stages(tiny_world).code == 0


TOLD_BY_ALL_ROWS = {
    "a lake that cannot be written",
    "a model that nobody knows",
    "everything cleaned away",
    "items that the catalogue does not know",
    "no interaction before the date",
    "one user who has had the only item",
}


@pytest.mark.parametrize("case", sorted({*REFUSED_BY_A_RUN} - TOLD_BY_ALL_ROWS))
def test_what_a_run_will_refuse_is_told_in_its_words_beside_all_else(
    tiny_world,
    command,
    stages,
    monkeypatch,
    case,
):
    spoil, sections, _ = REFUSED_BY_A_RUN[case]
    spoil(tiny_world)
    tiny_world.configure(**sections)
    monkeypatch.setattr("flows.commands.check.today", lambda _zone: AS_OF)
    told = command("check", "--config", tiny_world.config_file)
    refused = stages(tiny_world, **sections).err.removeprefix("pwrank: ")
    assert told.code == 2
    assert told.err == f"pwrank: run will refuse: {refused}"
    assert "interactions: " in told.out
    assert "next: " not in told.out
    data = json.loads(command("check", "--config", tiny_world.config_file, "--json").out)
    assert [one for table in data for one in table["refusals"]] == [refused.strip()]


def test_all_broken_files_are_told_at_once(tiny_world, command):
    for day in (1, 3, 5):
        tiny_world.write_drop(f"2024-03-0{day}.csv", [("u", "1")], ("userid", "item_id"))
    told = command("check", "--config", tiny_world.config_file)
    told.refuses(["run will refuse: ", "03-01.csv: no column 'user_id'", "03-03.csv", "and 1 more"])
    assert told.out.count(": not usable") == 3
    assert "  2024-03-08.csv: 12 rows, 12 usable" in told.out


def test_what_was_landed_is_not_refused_again(tiny_world):
    tiny_world.write_drop("2024-03-02.csv", [ROW, ("u", "001", "soon", 1, "e")])
    assert look(tiny_world, clean={"max_bad_share": 0.1})["interactions"].refusals
    stage_night(tiny_world.run())
    strict = look(tiny_world, clean={"max_bad_share": 0.1})
    assert strict["interactions"].refusals == ()
    stage_night(tiny_world.run(clean={"max_bad_share": 0.1}))


def test_who_was_forgotten_is_not_shown(tiny_world):
    salt = "ab"
    person = {"hash": Suppression(salt).hash_of("u")}
    write_record(tiny_world.store.open(), {"salt": salt, "people": [person]})
    tiny_world.write_drop("2024-03-09.csv", [ROW, ("u", *ROW[1:2], "soon", 1, "e")])
    told = look(tiny_world)["interactions"].checked[-1]
    assert told.usable == 0
    assert told.rejected[0] == Rejected("forgotten", 1, 2, '""')
    assert told.rejected[1].raw == '""'


def test_interactions_with_items_that_the_catalogue_lacks_are_counted(tiny_world, command):
    assert look(tiny_world)["interactions"].unknown_items == 0
    tiny_world.write_drop("2024-03-09.csv", [ROW, ("u", "stranger", *ROW[2:])])
    told = look(tiny_world)["interactions"]
    assert (told.unknown_items, told.refusals) == (1, ())
    out = command("check", "--config", tiny_world.config_file).out
    assert f"  1 of {told.usable} with an item that the catalogue lacks: they are never" in out


def test_a_catalogue_with_other_ids_is_refused_as_a_run_refuses_it(tiny_world):
    tiny_world.write_items([row | {"item_id": f"SKU-{row['item_id']}"} for row in some_items()])
    found = look(tiny_world)
    (told,) = found["interactions"].refusals
    assert "no interactions with known items" in told
    assert found["interactions"].unknown_items == found["interactions"].usable
    with pytest.raises(SourceError, match="no interactions with known items: the ") as refused:
        stage_night(tiny_world.run())
    assert "items of the catalogue such as 'SKU-0" in told
    assert told.partition(";")[2] == str(refused.value).partition(";")[2]


def test_of_a_catalogue_that_is_looked_at_in_part_nothing_is_told(tiny_world, monkeypatch):
    monkeypatch.setattr(source_check, "FILE_ROWS", 5)
    assert look(tiny_world)["interactions"].unknown_items is None


def test_every_table_is_told_where_ids_cannot_be(tiny_world, command):
    tiny_world.configure(source={"columns": {"item_id": "sku"}})
    for path in tiny_world.drops.iterdir():
        path.unlink()
    pl.DataFrame({"user_id": [1], "item_id": [2], "timestamp": [3]}).write_parquet(
        tiny_world.drops / "a.parquet"
    )
    told = command("check", "--config", tiny_world.config_file, "--json")
    assert told.code == 2
    found = {table["table"]: table["refusals"] for table in json.loads(told.out)}
    assert all("no column 'sku'" in refusals[0] for refusals in found.values())
    assert set(found) == {"interactions", "items"}


def test_a_model_that_is_not_on_this_machine_is_told(tiny_world, command, monkeypatch):
    monkeypatch.setenv("PWRANK__ENCODER__MODEL", "nobody/nothing")
    told = command("check", "--config", tiny_world.config_file)
    assert told.code == 2
    assert "run will refuse: [encoder] model 'nobody/nothing'" in told.err


def test_one_file_of_many_with_other_columns_is_to_be_mended(tiny_world):
    """Another setting would read it and lose all the others."""
    tiny_world.ingest()
    path = tiny_world.drops / "2024-03-09.csv"
    path.write_text("uid,item_id,timestamp,rating,event\nu,001,2024-03-07,1,e\n")
    with pytest.raises(
        SourceError, match=r"set source\.columns\.user_id.*\n8 other files are read"
    ):
        tiny_world.ingest()
