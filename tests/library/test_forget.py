"""Forgetting: one person gone from every file, everybody else untouched, and nobody comes back."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest

from pwrank.errors import ContractError, DateHeldError, LakeError
from pwrank.evaluation.board_split import board_folder
from pwrank.ingest import land_drops
from pwrank.landing.drops import read_drops
from pwrank.landing.suppression import FORGOTTEN, NO_RAW, Suppression
from pwrank.locks import date_lease, landing_lock, whole_lake
from pwrank.publication import (
    published_dates,
    rankings_path,
    read_publication,
    read_rankings,
    rollback,
)
from pwrank.signatures import verify_publication, verify_ref
from pwrank.store import read_json
from pwrank.train import newest_model
from tests.library.furnished_world import (
    LATER,
    NEXT,
    SALT,
    USER,
    bytes_naming,
    copy,
    forgotten,
    lists_of_others,
    nights,
)
from tests.library.tiny_world import AS_OF, NOW, World, some_items, stage_night


@pytest.fixture
def world(_furnished, tmp_path) -> World:
    return copy(_furnished, tmp_path / "world")


def test_the_person_is_in_no_file_afterwards_and_was_in_many(world):
    before = bytes_naming(world)
    kinds = {path.relative_to(world.store.lake).parts[0] for path in before}
    assert kinds >= {"interactions", "users", "rejects", "histories", "staged", "rankings"}
    assert {"control", "reports"} <= kinds
    done = forgotten(world)
    assert bytes_naming(world) == []
    assert done.proof.as_user == done.proof.elsewhere == []
    assert done.proof.files >= len(list(world.store.lake.rglob("*.*")))
    assert done.removed["interactions"] == 7
    assert done.removed["users"] == 1
    assert done.removed["rejects"] == 3
    assert done.removed["pages"] == 2
    assert done.dates == [AS_OF, NEXT]


def test_everybody_else_keeps_their_lists_to_the_last_digit(world):
    before = {day: lists_of_others(world, day) for day in (AS_OF, NEXT)}
    forgotten(world)
    for day, lists in before.items():
        assert read_rankings(world.store.lake, day).sort("user_id", "rank").collect().equals(lists)
        glob = pl.read_parquet(world.store.lake / rankings_path(day) / "*.parquet")
        assert glob.sort("user_id", "rank").equals(lists)


def test_what_was_signed_is_signed_anew_and_counts_are_true(world):
    forgotten(world)
    for day in published_dates(world.store):
        told = read_publication(world.store, day)
        verify_publication(world.store, told)
        lists = read_rankings(world.store.lake, day).collect()
        assert (told["rows"], told["users"]) == (lists.height, lists["user_id"].n_unique())
        assert sum(part["rows"] for part in told["parts"]) == told["rows"]
        assert told["signed_again_at"] == [LATER.isoformat()]
    for ref in world.store.refs("staged"):
        verify_ref(world.store.lake, ref)
        rows = pl.scan_parquet(ref.file_paths(world.store.lake)).select(pl.len()).collect().item()
        assert ref.rows == rows == sum(ref.figures["rows_by_source"].values())
    for ref in world.store.refs("histories"):
        aside = ref.figures["set_aside"]
        assert ref.figures["rows_in"] == ref.rows + sum(aside.values())
        assert aside[FORGOTTEN] > 0
    rollback(world.store, AS_OF)


def test_the_accounts_of_the_drops_still_add_up(world):
    forgotten(world)
    (dirty,) = [d for d in read_drops(world.store, "interactions") if "more" in d.source_file]
    assert dirty.rows_in == dirty.rows_landed + sum(dirty.rejected.values()) == 11
    assert dirty.rejected[FORGOTTEN] == 7
    rejects = pl.read_parquet([world.store.lake / name for name in dirty.reject_files])
    assert rejects.height == 11
    theirs = rejects.filter(reason=FORGOTTEN)
    assert set(theirs["raw"]) == {NO_RAW}
    assert rejects.filter(pl.col("raw") != NO_RAW)["raw"].to_list() == ['"u00,1"']


def test_the_record_names_nobody_and_a_second_call_finds_nothing(world):
    forgotten(world)
    text = (world.store.control / "forgotten.json").read_text(encoding="utf-8")
    assert USER not in text
    (entry,) = json.loads(text)["people"]
    assert entry["hash"] == Suppression(SALT).hash_of(USER)
    assert entry["done_at"] == LATER.isoformat()
    again = forgotten(world, now=LATER + timedelta(hours=1))
    assert again.dates == []
    assert again.models_due == []
    assert len(json.loads((world.store.control / "forgotten.json").read_text())["people"]) == 1


def test_no_later_drop_brings_the_person_back(world):
    forgotten(world)
    good = ("004", "2024-03-04", 4, "view")
    bad = ("1", "soon", 1, "view")
    rows = [(USER, *good), ("u00", "1", "soon"), (USER, *bad), ("u02", *good), ("u03", *bad)]
    world.write_drop("late.csv", rows)
    world.write_drop("2024-03-01-more.csv", [(f" {USER}", *bad), (USER, *good)])
    told = land_drops(world.store, world.configure(), now=LATER)["interactions"]
    assert (told["files"], told["rows_in"], told["rows_landed"]) == (2, 7, 1)
    assert told["rejected"][FORGOTTEN] == 2
    assert bytes_naming(world) == []
    late = [d for d in read_drops(world.store, "interactions") if d.source_file == "late.csv"]
    raws = pl.read_parquet(world.store.lake / late[0].reject_files[0]).sort("source_line")["raw"]
    # A line that is no row could name anybody: it is kept without its text. A row is looked at.
    assert [raw == NO_RAW for raw in raws] == [True, True, True, False]


def test_a_broken_line_of_the_catalogue_keeps_no_text_that_names_the_person(tiny_world):
    broken = f'{{"item_id": "x", "title": "said {USER}'
    write_broken_items(tiny_world, broken)
    tiny_world.write_drop("more.csv", [(USER, "001", "2024-03-02", 4, "view")])
    land_drops(tiny_world.store, tiny_world.configure(), now=NOW)
    (drop,) = read_drops(tiny_world.store, "items")
    assert bytes_naming(tiny_world)
    done = forgotten(tiny_world)
    assert done.proof.as_user == []
    assert bytes_naming(tiny_world) == []
    assert read_drops(tiny_world.store, "items") == [drop]
    write_broken_items(tiny_world, broken + "\n" + broken)
    land_drops(tiny_world.store, tiny_world.configure(), now=LATER)
    assert len(read_drops(tiny_world.store, "items")) == 2
    assert bytes_naming(tiny_world) == []


def write_broken_items(world: World, broken: str) -> None:
    """The catalogue, and lines that are no JSON after it."""
    path = world.write_items(some_items())
    path.write_text(path.read_text(encoding="utf-8") + broken + "\n", encoding="utf-8")


def test_the_next_night_trains_anew_and_neither_ranks_nor_learns_the_person(world):
    before = {ref.key for ref in world.store.refs("models")}
    kind = world.store.refs("models")[0].figures["kind"]
    done = forgotten(world)
    assert len(done.models_due) == len(before)
    assert newest_model(world.store, NEXT, kind) is None
    day = NEXT + timedelta(days=1)
    night = stage_night(world.run(as_of=day, now=LATER))
    assert night.refs.model.key not in before
    assert night.refs.model.as_of == day
    night.publish()
    assert USER not in set(read_rankings(world.store.lake).collect()["user_id"])
    assert bytes_naming(world) == []


def test_a_published_date_that_is_run_again_is_made_from_what_is_left(world):
    old = read_publication(world.store, AS_OF)["inputs"]
    forgotten(world)
    night = stage_night(world.run(as_of=AS_OF, now=LATER))
    assert night.refs.histories.key != old["histories"]["key"]
    assert night.refs.model.key != old["model"]["key"]
    night.publish()
    assert bytes_naming(world) == []


def test_a_model_of_before_the_person_came_stays(world):
    world.write_drop("new.csv", [("late-comer", "003", "2024-03-09T10:00:00Z", 4, "view")])
    nights(world, NEXT + timedelta(days=1))
    assert forgotten(world, "late-comer").models_due == []


# --- what is refused -----------------------------------------------------------------------


def test_a_list_that_was_exchanged_is_not_signed_anew(world):
    told = read_publication(world.store, AS_OF)
    folder = world.store.lake / told["staged_path"]
    part = folder / told["parts"][0]["name"]
    forged = pl.read_parquet(part).with_columns(item_id=pl.lit("forged"))
    part.unlink()
    forged.write_parquet(part)
    with pytest.raises(LakeError, match=r"part-00000\.parquet: not the file that was written"):
        forgotten(world)


def test_nothing_is_forgotten_while_a_run_is_under_way(world):
    with (
        date_lease(world.store, AS_OF, {"host": "there"}),
        pytest.raises(DateHeldError, match="2024-03-08 is held by another run"),
        whole_lake(world.store, {"host": "here"}),
    ):
        pytest.fail("held twice")
    with (
        landing_lock(world.store),
        pytest.raises(DateHeldError, match="landing drops"),
        whole_lake(world.store, {"host": "here"}),
    ):
        pytest.fail("held twice")
    with whole_lake(world.store, {"host": "here"}):
        pass


def test_a_search_that_still_finds_the_person_is_never_called_done(world, monkeypatch):
    monkeypatch.setattr("pwrank.forgetting.removal.clear_samples", lambda *_: None)
    with pytest.raises(ContractError, match="still names the person"):
        forgotten(world)
    (entry,) = read_json(world.store.control / "forgotten.json")["people"]
    assert entry["done_at"] is None


def test_what_boards_left_beside_the_lake_goes_with_the_person(world):
    config = world.configure()
    left = board_folder(config) / "leave-last-0" / "held-out.parquet"
    left.parent.mkdir(parents=True)
    pl.DataFrame({"user_id": [USER]}).write_parquet(left)
    forgotten(world)
    assert not board_folder(config).exists()
