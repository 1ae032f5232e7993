"""Landing: each source file once, every row accounted for, and what was known when."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest

from pwrank.errors import SourceError
from pwrank.ingest import land_drops
from pwrank.landing import drops as drops_module
from pwrank.landing import land as landing
from pwrank.landing.drops import read_drops, visible_drops
from tests.library.tiny_world import DAYS, FIRST_DAY, NOW, some_interactions

LATER = NOW + timedelta(days=1)


def land(world, now=NOW, **sections):
    return land_drops(world.store.open(), world.configure(**sections), now=now)


def landed(world, table="interactions", known_at=LATER):
    drops = visible_drops(read_drops(world.store, table), known_at)
    return pl.read_parquet([world.store.lake / name for drop in drops for name in drop.files])


def account(world, table="interactions", **arguments):
    told = land(world, **arguments)[table]
    assert told["rows_in"] == told["rows_landed"] + sum(told["rejected"].values())
    return told


def test_every_row_is_landed_or_rejected_with_file_line_and_reason(tiny_world):
    good = some_interactions(FIRST_DAY)[0]
    rows = [good, good, ("", *good[1:]), (good[0], "", *good[2:]), (*good[:2], "soon", 3, "view")]
    rows += [(*good[:2], "2031-01-01", 3, "view"), (*good[:3], "many", "view"), good[:3]]
    tiny_world.write_drop("dirty.csv", rows)
    told = account(tiny_world, clean={"max_bad_share": 0.9})
    assert told["rows_in"] == 8 * 12 + len(rows)
    rejects = pl.read_parquet(tiny_world.store.lake / "rejects/interactions/*/*.parquet")
    reasons = dict(rejects.filter(source_file="dirty.csv").select("source_line", "reason").rows())
    assert len(reasons) == sum(told["rejected"].values())
    assert reasons[4] == "user_id is missing"
    assert reasons[5] == "item_id is missing"
    assert reasons[6].startswith("timestamp is not a time")
    assert reasons[7] == landing.IN_THE_FUTURE
    assert reasons[8] == "rating is not a number"
    assert "soon" in rejects.filter(pl.col("source_line") == 6)["raw"].item()


def test_a_folder_that_gains_a_file_costs_one_file(tiny_world, monkeypatch):
    assert account(tiny_world)["files"] == 8
    tiny_world.write_drop("2024-03-09.csv", some_interactions(FIRST_DAY)[:4])
    opened = []
    read, hashed = landing.read_batches, drops_module.file_sha256
    monkeypatch.setattr(
        landing, "read_batches", lambda file, source: opened.append(file.name) or read(file, source)
    )
    monkeypatch.setattr(
        drops_module, "file_sha256", lambda path: opened.append(path.name) or hashed(path)
    )
    told = account(tiny_world, now=LATER)
    assert (told["files"], told["files_unchanged"], told["rows_in"]) == (1, 8, 4)
    assert set(opened) == {"2024-03-09.csv"}


def test_a_file_that_was_only_touched_is_not_landed_again(tiny_world):
    land(tiny_world)
    os.utime(tiny_world.drops / "2024-03-01.csv")
    assert account(tiny_world, now=LATER)["files"] == 0


def test_a_changed_file_supersedes_its_earlier_rows_from_then_on(tiny_world):
    land(tiny_world)
    before = landed(tiny_world)
    tiny_world.write_drop("2024-03-01.csv", some_interactions(FIRST_DAY)[:5])
    told = account(tiny_world, now=LATER)
    assert (told["files"], told["files_unchanged"]) == (1, 7)
    assert landed(tiny_world).height == before.height - 7
    assert landed(tiny_world, known_at=NOW).equals(before)


def test_other_columns_or_rules_read_the_files_again(tiny_world):
    land(tiny_world)
    rule = {"reason": "cheap", "column": "rating", "below": 2}
    told = account(tiny_world, now=LATER, clean={"reject": [rule]})
    assert told["files"] == 8
    assert told["rejected"]["cheap"] == landed(tiny_world, known_at=NOW)["rating"].eq(1).sum()
    assert landed(tiny_world).height == told["rows_landed"]


def test_a_landing_that_was_killed_is_swept_and_done_again(tiny_world, monkeypatch):
    written = []

    def killed(_store, drop):
        written.append(drop.id)
        if len(written) == 3:
            raise KeyboardInterrupt
        real(_store, drop)

    real = landing.write_drop
    monkeypatch.setattr(landing, "write_drop", killed)
    with pytest.raises(KeyboardInterrupt):
        land(tiny_world)
    monkeypatch.undo()
    assert (tiny_world.store.lake / "interactions" / written[2]).is_dir()
    assert len(read_drops(tiny_world.store, "interactions")) == 2
    told = account(tiny_world, now=LATER)
    assert (told["files"], told["files_unchanged"]) == (6, 2)
    assert not (tiny_world.store.lake / "interactions" / written[2]).exists()
    assert landed(tiny_world).height == 96
    assert list(tiny_world.store.lake.glob("**/.tmp-*")) == []


def test_the_same_rows_in_another_file_change_nothing_for_a_run(tiny_world):
    before = tiny_world.ingest()
    shutil.copy(tiny_world.drops / "2024-03-02.csv", tiny_world.drops / "2024-03-02-again.csv")
    after = tiny_world.ingest(now=LATER)
    assert after.histories.figures["set_aside"]["exact duplicate"] == 12
    old, new = (known.histories.file_paths(tiny_world.store.lake) for known in (before, after))
    assert [path.read_bytes() for path in old] == [path.read_bytes() for path in new]


def test_leading_zeros_survive(tiny_world):
    tiny_world.write_drop("zeros.csv", [("007", "000", "2024-03-02", 3, "view")])
    land(tiny_world)
    rows = landed(tiny_world).filter(source_file="zeros.csv")
    assert rows.select("user_id", "item_id").row(0) == ("007", "000")


def test_integer_ids_of_parquet_files_stay_integers(tiny_world):
    tiny_world.settings["source"] = {"interactions": "log.parquet", "items": "items.parquet"}
    pl.DataFrame({"user_id": [7], "item_id": [2**60], "timestamp": [1709424000]}).write_parquet(
        tiny_world.folder / "log.parquet"
    )
    pl.DataFrame({"item_id": [2**60], "title": ["word1"]}).write_parquet(
        tiny_world.folder / "items.parquet"
    )
    land(tiny_world)
    assert landed(tiny_world).select("user_id", "item_id").row(0) == (7, 2**60)
    assert landed(tiny_world, "items")["item_id"].dtype == pl.Int64


def test_a_first_run_that_was_refused_does_not_settle_the_types_of_ids(tiny_world):
    tiny_world.settings["source"] = {"interactions": "log.parquet"}
    for name in ("drops", "items.jsonl"):
        assert (tiny_world.folder / name).exists()
    bad = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "timestamp": ["x", "y"]})
    bad.write_parquet(tiny_world.folder / "log.parquet")
    with pytest.raises(SourceError, match="2 of 2 rows are unusable"):
        land(tiny_world)
    good = pl.DataFrame({"user_id": ["a"], "item_id": ["000"], "timestamp": ["2024-03-01"]})
    good.write_parquet(tiny_world.folder / "log.parquet")
    assert account(tiny_world)["rows_landed"] == 1


def quiet_csv(world):
    world.write_drop("2024-03-05.csv", [])


def quiet_parquet(world):
    (world.drops / "2024-03-05.csv").unlink()
    nothing = pl.DataFrame({"user_id": [], "item_id": [], "timestamp": [], "rating": []})
    nothing.write_parquet(world.drops / "2024-03-05.parquet")


@pytest.mark.parametrize("make_quiet", [quiet_csv, quiet_parquet])
def test_a_quiet_day_is_a_file_of_no_rows(tiny_world, make_quiet):
    make_quiet(tiny_world)
    told = account(tiny_world)
    assert (told["files"], told["rows_in"], told["rejected"]) == (8, 7 * 12, {})
    assert account(tiny_world, now=LATER)["files"] == 0
    tiny_world.write_drop("2024-03-05.csv", some_interactions(FIRST_DAY)[:3])
    assert account(tiny_world, now=LATER)["rows_landed"] == 3


@pytest.mark.parametrize("quiet", ["a", "z"])
def test_a_file_of_no_rows_says_nothing_of_the_types_of_ids(tiny_world, quiet):
    tiny_world.settings["source"] = {"interactions": "log", "items": "items.parquet"}
    log = tiny_world.folder / "log"
    log.mkdir()
    columns = {"user_id": [7], "item_id": [8], "timestamp": [1709424000]}
    pl.DataFrame(columns).write_parquet(log / "m.parquet")
    pl.DataFrame({name: [] for name in columns}).write_parquet(log / f"{quiet}.parquet")
    pl.DataFrame({"item_id": [8], "title": ["word1"]}).write_parquet(
        tiny_world.folder / "items.parquet"
    )
    assert account(tiny_world)["rows_landed"] == 1
    assert landed(tiny_world).select("user_id", "item_id").row(0) == (7, 8)


def test_a_file_that_had_rows_and_has_none_is_refused_and_its_rows_stay(tiny_world):
    land(tiny_world)
    tiny_world.write_drop("2024-03-05.csv", [])
    with pytest.raises(SourceError, match=r"05\.csv: no rows, where it had 12; mend the export"):
        land(tiny_world, now=LATER)
    assert landed(tiny_world).height == DAYS * 12


def test_a_file_without_usable_rows_is_refused_as_a_whole(tiny_world):
    tiny_world.write_drop("bad.csv", [("u", "i", "soon", 1, "e")] * 3)
    with pytest.raises(SourceError, match=r"bad.csv: .*3 of 3 rows"):
        land(tiny_world)
    assert "bad.csv" not in {d.source_file for d in read_drops(tiny_world.store, "interactions")}


def test_rows_of_nobody_are_rejected_but_do_not_make_a_file_bad(tiny_world):
    row = some_interactions(FIRST_DAY)[0]
    tiny_world.write_drop("anonymous.csv", [("", *row[1:])] * 9 + [row])
    assert account(tiny_world)["rejected"] == {"user_id is missing": 9}


UNTIMED = ("user_id", "item_id")


@pytest.mark.parametrize("name", ["2024-01-01.csv", "2024-03-04.csv", "2024-12-31.csv"])
def test_a_file_that_lacks_the_times_that_others_have_is_refused(tiny_world, name):
    tiny_world.write_drop(name, [("u01", "001"), ("u02", "002")], columns=UNTIMED)
    with pytest.raises(SourceError, match=rf"{name}: no timestamps, while .* has them; mend"):
        land(tiny_world)
    tiny_world.write_drop(name, some_interactions(FIRST_DAY)[:2])
    land(tiny_world, now=LATER)
    assert landed(tiny_world)["occurred_at"].dt.year().unique().to_list() == [2024]


def test_a_later_drop_that_lacks_the_times_is_refused_and_is_not_in_the_lake(tiny_world):
    land(tiny_world)
    tiny_world.write_drop("2024-03-09.csv", [("u01", "001")], columns=UNTIMED)
    with pytest.raises(SourceError, match=r"2024-03-09\.csv: no timestamps, while"):
        land(tiny_world, now=LATER)
    assert "2024-03-09.csv" not in {
        drop.source_file for drop in read_drops(tiny_world.store, "interactions")
    }


def test_files_without_times_are_landed_and_may_be_replaced_by_such_with_times(tiny_world):
    for path in tiny_world.drops.iterdir():
        path.unlink()
    for name in ("a.csv", "b.csv"):
        tiny_world.write_drop(name, [("u01", "001"), ("u02", "002")], columns=UNTIMED)
    assert account(tiny_world)["rows_landed"] == 4
    for name in ("a.csv", "b.csv"):
        tiny_world.write_drop(name, some_interactions(FIRST_DAY)[:3])
        land(tiny_world, now=LATER)
    assert landed(tiny_world)["occurred_at"].dt.year().unique().to_list() == [2024]


def test_the_moments_of_a_landed_file_are_those_of_its_rows(tiny_world):
    account(tiny_world)
    (drop, *_) = read_drops(tiny_world.store, "interactions")
    path = tiny_world.store.lake / drop.files[0]
    moments = pl.read_parquet(path)["occurred_at"]
    assert drops_module.moments_of(path) == [moments.min(), moments.max()]
    # Told by pyarrow as times, they would make every night import pandas.
    code = (
        "import sys; from pathlib import Path; from pwrank.landing.drops import moments_of;"
        f"moments_of(Path({str(path)!r})); sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
