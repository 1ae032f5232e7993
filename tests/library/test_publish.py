"""Publishing: visible at once or not at all, refused nights change nothing, history is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
import threading
from datetime import date, timedelta

import polars as pl
import pytest

from pwrank import publication as publication_module
from pwrank import publish as publish_module
from pwrank.errors import GateRefusedError, LakeError
from pwrank.locks import date_lease
from pwrank.publication import (
    published_dates,
    rankings_path,
    read_current,
    read_publication,
    read_rankings,
    rollback,
)
from pwrank.store import file_sha256
from tests.library.tiny_world import AS_OF, stage_night, unsigned

NEXT = AS_OF + timedelta(days=1)


def staged_copy(night, name, change):
    """The staged lists of a night as another staged dataset, with each part changed."""
    store = night.run.store
    folder = store.folder("staged", night.run.as_of, name)
    rows = 0
    for path in night.staged.file_paths(store.lake):
        part = change(pl.read_parquet(path))
        part.write_parquet(folder / path.name)
        rows += part.height
    ref = store.commit(
        "staged", night.run.as_of, name, files=night.staged.files, rows=rows,
        figures=unsigned(night.staged).figures,
    )  # fmt: skip
    return dataclasses.replace(night, staged=ref)


@pytest.fixture
def first(trained_world):
    return stage_night(trained_world.run())


def glob_of(night, as_of=AS_OF):
    return pl.read_parquet(night.run.store.lake / rankings_path(as_of) / "*.parquet")


def test_a_good_night_becomes_visible_and_current(first):
    done = first.publish()
    assert (done.rows, done.users, done.current, done.reused) == (80, 16, True, False)
    assert read_rankings(first.run.store.lake).collect().equals(first.rankings)
    assert glob_of(first).equals(first.rankings)
    current = read_current(first.run.store)
    assert (current["as_of"], current["version"]) == (str(AS_OF), first.staged.key)


def test_nothing_but_parquet_lies_where_readers_look(first):
    first.publish()
    found = [path for path in (first.run.store.lake / "rankings").rglob("*") if path.is_file()]
    assert [path.name for path in sorted(found)] == [f"part-0000{n}.parquet" for n in range(3)]


def test_the_manifest_tells_rows_hashes_inputs_and_gates(first):
    from pwrank.store import file_sha256

    first.publish()
    told = read_publication(first.run.store, AS_OF)
    folder = first.run.store.lake / told["path"]
    assert sum(part["rows"] for part in told["parts"]) == told["rows"] == 80
    assert all(part["sha256"] == file_sha256(folder / part["name"]) for part in told["parts"])
    assert set(told["inputs"]) == {"histories", "catalogue", "embeddings", "model", "index"}
    assert all(gate["passed"] for gate in told["gates"])
    assert "source" not in told["config"]


def test_a_refused_night_publishes_nothing_keeps_the_staged_rows_and_the_last_good_night(first):
    first.publish()
    before = glob_of(first)
    nothing = pl.lit(float("nan"), pl.Float32)
    bad = staged_copy(first, "bad", lambda part: part.with_columns(score=nothing))
    with pytest.raises(GateRefusedError) as caught:
        bad.publish()
    told = str(caught.value)
    assert "gate “score not finite”: 80 rows, wanted none; e.g." in told
    assert str(first.run.store.lake / bad.staged.path) in told
    assert caught.value.exit_code == 3
    refused = {gate["gate"] for gate in caught.value.gates if not gate["passed"]}
    assert refused == {"constant scores", "score not finite"}
    assert glob_of(first).equals(before)
    assert read_current(first.run.store)["version"] == first.staged.key
    assert all(path.exists() for path in bad.staged.file_paths(first.run.store.lake))


POISON = {
    "an item that nobody knows": pl.col("item_id").str.replace("^", "x"),
    "an unavailable item everywhere": pl.lit("019").alias("item_id"),
    "a score that is missing": pl.lit(None, pl.Float32).alias("score"),
    "infinite scores": pl.lit(float("inf"), pl.Float32).alias("score"),
    "ranks from zero": pl.col("rank") - 1,
    "users that nobody knows": pl.col("user_id").str.replace("^", "x"),
}


@pytest.mark.parametrize("poison", [*POISON, "an empty shard", "half of each list"])
def test_a_poisoned_night_is_refused_and_never_crashes_on_its_way(first, poison):
    def poisoned(part):
        if poison in POISON:
            return part.with_columns(POISON[poison])
        return part.filter(pl.col("rank") < 3) if "half" in poison else part.clear()

    with pytest.raises(GateRefusedError):
        staged_copy(first, "poisoned", poisoned).publish()
    assert published_dates(first.run.store) == []


def test_a_first_night_that_is_refused_leaves_nothing_to_read(first):
    with pytest.raises(GateRefusedError):
        staged_copy(first, "bad", lambda part: part.head(1)).publish()
    assert published_dates(first.run.store) == []
    assert not (first.run.store.lake / "rankings").exists()
    with pytest.raises(LakeError, match=r"nothing is published here yet; `pwrank run`"):
        read_rankings(first.run.store.lake)


def test_each_part_is_hashed_once_to_publish_it_and_once_to_find_it_published(first, monkeypatch):
    hashed = []

    def counted(path):
        hashed.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr("pwrank.signatures.file_sha256", counted)
    for _ in range(2):
        hashed.clear()
        first.publish()
        parts = sorted(name for name in hashed if name.startswith("part-"))
        assert parts == sorted(path.name for path in first.staged.file_paths(first.run.store.lake))


@pytest.mark.parametrize("step", ["show_parts", "write_json", "write_current", "retire"])
def test_a_publication_that_was_killed_is_finished_by_the_next_try(first, monkeypatch, step):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(publish_module, step, killed)
    with pytest.raises(KeyboardInterrupt):
        first.publish()
    monkeypatch.undo()
    assert first.publish().current
    assert read_rankings(first.run.store.lake).collect().equals(first.rankings)
    assert list(first.run.store.lake.glob("**/.tmp-*")) == []


def test_readers_never_see_half_of_a_night_that_is_published_again(first):
    first.publish()
    lake, versions = first.run.store.lake, ["one", "two"]
    nights = [
        staged_copy(first, name, lambda p, name=name: p.with_columns(model_version=pl.lit(name)))
        for name in versions
    ]
    seen, wrong, stop = set(), [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            frame = read_rankings(lake, AS_OF).collect()
            seen.update(frame["model_version"].unique())
            if (frame.height, frame["model_version"].n_unique()) != (80, 1):
                wrong.append(frame)
            # A glob lists names, then opens them one by one; names of a night that was swapped
            # out meanwhile are gone, and never stand for files of the other night.
            with contextlib.suppress(FileNotFoundError):
                frame = glob_of(first)
                if (frame.height, frame["model_version"].n_unique()) != (80, 1):
                    wrong.append(frame)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(12):
            nights[number % 2].publish()
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert set(versions) <= seen


def test_the_pointer_moves_only_forward(trained_world, first):
    first.publish()
    older = stage_night(trained_world.run(as_of=AS_OF - timedelta(days=1))).publish()
    assert not older.current
    assert read_current(trained_world.store)["as_of"] == str(AS_OF)
    assert published_dates(trained_world.store) == [AS_OF - timedelta(days=1), AS_OF]
    assert read_rankings(trained_world.store.lake, AS_OF - timedelta(days=1)).collect().height


def test_rollback_moves_the_pointer_and_says_why(trained_world, first):
    first.publish()
    stage_night(trained_world.run(as_of=NEXT)).publish()
    assert read_current(trained_world.store)["as_of"] == str(NEXT)
    rollback(trained_world.store, AS_OF, reason="bad titles")
    current = read_current(trained_world.store)
    assert (current["as_of"], current["moved"]) == (str(AS_OF), "bad titles")
    moves = [(move["as_of"], move["moved"]) for move in current["moves"]]
    published = [(str(AS_OF), "published"), (str(NEXT), "published")]
    assert moves == [*published, (str(AS_OF), "bad titles")]
    assert read_rankings(trained_world.store.lake).collect().equals(first.rankings)
    with pytest.raises(FileNotFoundError):
        rollback(trained_world.store, date(2020, 1, 1))


def test_retention_keeps_the_newest_nights_and_never_loses_the_current_one(trained_world, first):
    first.publish()
    nights = [AS_OF + timedelta(days=n) for n in (1, 2)]
    for day in nights:
        stage_night(trained_world.run(as_of=day)).publish()
    rollback(trained_world.store, AS_OF, reason="test")
    last = AS_OF + timedelta(days=3)
    stage_night(trained_world.run(as_of=last, publish={"keep_nights": 1})).publish()
    assert published_dates(trained_world.store) == [last]
    # The pointer had moved on to the new night before the old ones went.
    assert read_current(trained_world.store)["as_of"] == str(last)
    for name in ("staged", "histories", "catalogue", "index"):
        assert {ref.as_of for ref in trained_world.store.refs(name)} == {last}, name
    assert not (trained_world.store.lake / rankings_path(AS_OF)).exists()


def test_a_backfilled_old_date_does_not_retire_the_current_one(trained_world, first):
    first.publish()
    rollback(trained_world.store, AS_OF, reason="pinned")
    old = AS_OF - timedelta(days=2)
    stage_night(trained_world.run(as_of=old, publish={"keep_nights": 1})).publish()
    assert published_dates(trained_world.store) == [old, AS_OF]
    assert read_rankings(trained_world.store.lake).collect().equals(first.rankings)
    # The very files: each is one file of two names, where globs look and where it was staged.
    staged = first.staged.file_paths(first.run.store.lake)
    shown = [first.run.store.lake / rankings_path(AS_OF) / path.name for path in staged]
    assert all(one.samefile(other) for one, other in zip(shown, staged, strict=True))
    assert [path.stat().st_nlink for path in staged] == [2, 2, 2]


def test_a_lake_copied_without_its_links_shows_the_same_files_when_a_date_runs_again(first):
    first.publish()
    lake, aside = first.run.store.lake, first.run.store.lake.with_name("copied")
    shutil.copytree(lake, aside)
    shutil.rmtree(lake)
    aside.rename(lake)
    folder = lake / rankings_path(AS_OF)
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert first.publish().reused
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before
    spoiled = min(folder.iterdir())
    spoiled.write_bytes(spoiled.read_bytes()[::-1])
    assert not first.publish().reused
    assert glob_of(first).equals(first.rankings)


def test_parts_of_removed_nights_are_gone_under_both_names(trained_world, first):
    first.publish()
    inodes = {path.stat().st_ino for path in first.staged.file_paths(first.run.store.lake)}
    stage_night(trained_world.run(as_of=NEXT, publish={"keep_nights": 1})).publish()
    left = {path.stat().st_ino for path in first.run.store.lake.rglob("*.parquet")}
    assert not inodes & left


def test_a_date_that_was_never_published_is_named_with_the_latest_that_were(first):
    first.publish()
    with pytest.raises(LakeError, match=r"2020-01-01 is not published \(latest: 2024-03-08\)"):
        read_rankings(first.run.store.lake, "2020-01-01")


def shown_names(night):
    folder = night.run.store.lake / rankings_path(AS_OF)
    return [path.name for path in sorted(folder.iterdir())]


def test_a_date_published_again_shows_other_names_until_its_numbers_are_used_up(first, monkeypatch):
    first.publish()
    assert shown_names(first) == [f"part-0000{n}.parquet" for n in (0, 1, 2)]
    again = staged_copy(first, "again", lambda p: p.with_columns(model_version=pl.lit("again")))
    again.publish()
    assert shown_names(first) == [f"part-0000{n}.parquet" for n in (3, 4, 5)]
    told = read_publication(first.run.store, AS_OF)
    assert [part["name"] for part in told["parts"]] == told["files"] == shown_names(first)
    assert glob_of(first).equals(again.rankings)
    assert read_rankings(first.run.store.lake).collect().equals(again.rankings)
    assert again.publish().reused
    monkeypatch.setattr(publication_module, "PART_NUMBERS", 8)
    first.publish()
    assert shown_names(first) == [f"part-0000{n}.parquet" for n in (0, 1, 2)]


@pytest.fixture
def shown_but_not_recorded(first, monkeypatch):
    """A date published, then published again by a run that was killed before it recorded that."""
    first.publish()
    again = staged_copy(first, "again", lambda p: p.with_columns(model_version=pl.lit("again")))
    monkeypatch.setattr(publish_module, "write_json", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        again.publish()
    monkeypatch.undo()
    recorded = read_publication(first.run.store, AS_OF)
    assert recorded["version"] != again.staged.key
    assert shown_names(first) != recorded["files"]
    return first, recorded, again


def test_a_night_that_was_shown_but_not_recorded_keeps_its_names(shown_but_not_recorded):
    first, _, again = shown_but_not_recorded
    shown = shown_names(first)
    again.publish()
    assert shown_names(first) == shown == read_publication(first.run.store, AS_OF)["files"]


def test_the_next_night_shows_again_what_is_recorded(trained_world, shown_but_not_recorded):
    first, recorded, _ = shown_but_not_recorded
    following = stage_night(trained_world.run(as_of=NEXT))
    assert following.publish().current
    assert shown_names(first) == recorded["files"]
    assert glob_of(first).equals(read_rankings(first.run.store.lake, AS_OF).collect())


def test_a_date_that_a_run_is_at_work_on_is_left_alone(trained_world, shown_but_not_recorded):
    first, recorded, _ = shown_but_not_recorded
    with date_lease(trained_world.store, AS_OF, {"host": "another"}):
        stage_night(trained_world.run(as_of=NEXT)).publish()
    assert shown_names(first) != recorded["files"]


def test_a_rollback_shows_again_what_is_recorded(trained_world, shown_but_not_recorded):
    first, recorded, _ = shown_but_not_recorded
    rollback(trained_world.store, AS_OF)
    assert shown_names(first) == recorded["files"]


def test_what_was_rolled_back_from_does_not_come_back_by_being_run_again(trained_world, first):
    first.publish()
    bad = stage_night(trained_world.run(as_of=NEXT))
    bad.publish()
    rollback(trained_world.store, AS_OF, reason="bad titles")
    assert not bad.publish().current
    assert not staged_copy(bad, "mended", lambda p: p).publish().current
    assert read_current(trained_world.store)["as_of"] == str(AS_OF)
    again = staged_copy(first, "again", lambda p: p.with_columns(model_version=pl.lit("again")))
    assert again.publish().current
    held = read_current(trained_world.store)
    assert (held["version"], held["moved"]) == ("again", "bad titles")
    assert held["held_until_after"] == str(NEXT)
    assert stage_night(trained_world.run(as_of=NEXT + timedelta(days=1))).publish().current


def test_a_rollback_to_the_newest_date_holds_nothing(trained_world, first):
    first.publish()
    stage_night(trained_world.run(as_of=NEXT)).publish()
    rollback(trained_world.store, AS_OF)
    rollback(trained_world.store, NEXT)
    assert "held_until_after" not in read_current(trained_world.store)
