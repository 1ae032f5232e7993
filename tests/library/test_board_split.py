"""What the board holds out, and that the run it judges cannot know it."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from pwrank.errors import ConfigError, InputError
from pwrank.evaluation.board_split import board_folder, open_landed, remove_boards, split_log
from pwrank.evaluation.known_log import SplitRule
from pwrank.forget import person_of
from pwrank.forgetting.journal import begin
from pwrank.ingest import ingest, land_drops
from pwrank.landing.drops import read_drops
from pwrank.landing.held_out import HELD_OUT
from pwrank.ranker.model_inputs import history_paths
from pwrank.store import Store
from tests.library.tiny_world import NOW, World, some_items

LEAVE_LAST = SplitRule(None)


@pytest.fixture
def world(tmp_path, tiny_encoder) -> World:
    """No interactions yet."""
    world = World(tmp_path, tiny_encoder)
    world.write_items(some_items())
    return world


def rows(*told):
    """(user, item, day of March 2024, hour)."""
    return [
        (u, i, datetime(2024, 3, d, h, tzinfo=UTC).isoformat(), 5, "view") for u, i, d, h in told
    ]


def split(world, rule, end=None, **sections):
    config = world.configure(**sections)
    land_drops(open_landed(config), config, now=NOW)
    return config, split_log(config, rule, end=end, now=NOW)


def known(config, found):
    """Pairs that the judged run knows, and the account of its interactions."""
    run = found.run(config, NOW)
    done = ingest(run)
    assert not any(table["files"] for table in done.landed.values()), "nothing is landed again"
    frame = pl.read_parquet(history_paths(run.store, done.histories))
    return sorted(frame.select("user_id", "item_id").rows()), run


def held(found):
    frame = pl.read_parquet(found.held_out)
    assert frame.height == found.held_rows
    return sorted(frame.select("user_id", "item_id").rows())


LOG = rows(
    ("u", "001", 1, 3), ("u", "002", 2, 3), ("u", "003", 3, 3),
    ("v", "001", 1, 4), ("v", "004", 3, 4),
    ("w", "005", 3, 5),
)  # fmt: skip


def test_leave_last_holds_out_exactly_the_last_row_of_each_user(world):
    world.write_drop("a.csv", LOG[:3])
    world.write_drop("b.csv", LOG[3:])
    config, found = split(world, LEAVE_LAST)
    assert held(found) == [("u", "003"), ("v", "004"), ("w", "005")]
    assert known(config, found)[0] == [("u", "001"), ("u", "002"), ("v", "001")]
    assert found.as_of == date(2024, 3, 4)
    drops = read_drops(Store(found.lake), "interactions")
    assert [drop.rejected for drop in drops] == [{HELD_OUT: 1}, {HELD_OUT: 2}]
    assert all(d.rows_in == d.rows_landed + sum(d.rejected.values()) for d in drops)


def test_the_last_days_are_cut_at_midnight(world):
    world.write_drop("a.csv", LOG)
    config, found = split(world, SplitRule(2))
    assert found.as_of == date(2024, 3, 2)
    assert held(found) == [("u", "002"), ("u", "003"), ("v", "004"), ("w", "005")]
    assert known(config, found)[0] == [("u", "001"), ("v", "001")]


def test_midnight_is_the_configured_zones(world):
    world.write_drop("a.csv", rows(("u", "001", 1, 3), ("u", "002", 1, 23), ("u", "003", 2, 3)))
    _, found = split(world, SplitRule(1, "Europe/Berlin"), time_zone="Europe/Berlin")
    assert held(found) == [("u", "002"), ("u", "003")]


def test_the_end_of_the_log_can_be_moved(world):
    world.write_drop("a.csv", LOG)
    _, found = split(world, SplitRule(1), end=date(2024, 3, 3))
    assert held(found) == [("u", "002")]
    _, found = split(world, LEAVE_LAST, end=date(2024, 3, 3))
    assert held(found) == [("u", "002"), ("v", "001")]


def test_judged_users_without_a_history_are_owed_a_list(world):
    world.write_drop("a.csv", LOG)
    config, found = split(world, LEAVE_LAST)
    _, run = known(config, found)
    (path,) = [p for r in run.store.refs("histories") for p in [run.store.lake / r.path]]
    owed = pl.read_parquet(sorted(path.glob("users-*.parquet")))["user_id"].sort().to_list()
    assert owed == ["u", "v", "w"]


def test_a_twin_of_a_held_out_row_does_not_take_its_place(world):
    again = LOG[2]
    world.write_drop("a.csv", [*LOG[:3], again])
    world.write_drop("b.csv", [*rows(("v", "001", 1, 1), ("v", "002", 3, 5), ("v", "002", 3, 9))])
    config, found = split(world, LEAVE_LAST, clean={"repeated": "merge"})
    assert held(found) == [("u", "003"), ("v", "002")]
    assert known(config, found)[0] == [("u", "001"), ("u", "002"), ("v", "001")]


def test_what_clean_sets_aside_is_not_held_out(world):
    low = [("u", "009", datetime(2024, 3, 5, tzinfo=UTC).isoformat(), 1, "view")]
    world.write_drop("a.csv", [*LOG[:3], *low])
    _, found = split(world, LEAVE_LAST, clean={"positive_rating": 4.0})
    assert held(found) == [("u", "003")]


def test_without_times_the_order_in_the_file_is_the_order(world):
    world.write_drop(
        "a.csv", [("u", "002"), ("u", "001"), ("u", "002"), ("v", "001")], ("user_id", "item_id")
    )
    timeless = {"source": {"columns": {"timestamp": ""}}}
    config, found = split(world, LEAVE_LAST, **timeless)
    assert held(found) == [("u", "002"), ("v", "001")]
    assert known(config, found)[0] == [("u", "001"), ("u", "002")]
    with pytest.raises(ConfigError, match="no times; use --leave-last"):
        split(world, SplitRule(1), **timeless)


def test_without_times_merged_rows_do_not_take_the_place_of_the_one_held_out(world):
    log = [("u", "001"), ("u", "002"), ("u", "001"), ("v", "001"), ("v", "003")]
    world.write_drop("a.csv", log, ("user_id", "item_id"))
    columns = {"source": {"columns": {"timestamp": ""}}}
    config, found = split(world, LEAVE_LAST, **columns, clean={"repeated": "merge"})
    assert held(found) == [("u", "001"), ("v", "003")]
    assert known(config, found)[0] == [("u", "002"), ("v", "001")]


def test_without_times_no_date_is_told_and_all_that_was_landed_is_known(world):
    world.write_items([{**item, "updated_at": "2024-03-01"} for item in some_items()])
    world.write_drop("a.csv", [("u", "001"), ("u", "002")], ("user_id", "item_id"))
    timeless = {"source": {"columns": {"timestamp": ""}}}
    config, found = split(world, LEAVE_LAST, **timeless)
    assert found.told() == "the last interaction of each user is held out"
    assert found.as_of == NOW.date() + timedelta(days=1), "the day after it was landed"
    done = ingest(found.run(config, NOW))
    assert done.catalogue.rows == len(some_items()), "items of before 1970 only, before"
    later = split_log(config, LEAVE_LAST, end=None, now=NOW + timedelta(days=9))
    assert later == found, "nothing new was landed"
    world.write_drop("a.csv", [("u", "001"), ("v", "001")], ("user_id", "item_id"))
    with pytest.raises(InputError, match="2 interactions without times; no user has two"):
        split(world, LEAVE_LAST, **timeless)


def test_too_short_a_log_is_refused_with_the_next_step(world):
    world.write_drop("a.csv", LOG)
    with pytest.raises(InputError, match="6 interactions from 2024-03-01 to 2024-03-03; hold out"):
        split(world, SplitRule(3))
    with pytest.raises(InputError, match="nothing to hold out: no interaction lies before"):
        split(world, LEAVE_LAST, end=date(2024, 2, 1))


def test_the_same_files_give_the_same_split_and_new_rows_another(world):
    world.write_drop("a.csv", LOG)
    config, first = split(world, LEAVE_LAST)
    (first.lake / "mark").touch()
    assert split(world, LEAVE_LAST)[1] == first
    assert (first.lake / "mark").exists()
    world.write_drop("b.csv", rows(("u", "007", 4, 1)))
    config, second = split(world, LEAVE_LAST)
    assert second.folder != first.folder
    assert ("u", "003") in known(config, second)[0]


def test_a_split_that_was_killed_is_made_again(world):
    world.write_drop("a.csv", LOG)
    _, first = split(world, LEAVE_LAST)
    (first.folder / "split.json").unlink()
    (first.lake / "mark").touch()
    _, again = split(world, LEAVE_LAST)
    assert again == first
    assert not (first.lake / "mark").exists()


def test_the_users_lake_is_not_touched(world):
    world.write_drop("a.csv", LOG)
    config, found = split(world, LEAVE_LAST)
    assert not config.lake.exists()
    assert found.folder.parent.name == "lake-benchmark"


def test_short_lists_are_made_as_long_as_what_is_judged(world):
    world.write_drop("a.csv", LOG)
    config, found = split(world, SplitRule(1), score={"k": 5, "candidates": 12})
    score = found.run(config, NOW + timedelta(days=1)).config.score
    assert (score.k, score.candidates) == (20, 20)


def test_whom_the_lake_has_forgotten_no_board_lands(world):
    world.write_drop("a.csv", LOG)
    config, _ = split(world, LEAVE_LAST)
    person = person_of(Store(config.lake), "u", "00" * 32)
    (digest,) = person.suppression.hashes
    begin(Store(config.lake).open(), digest, person.suppression.salt, NOW)
    config, found = split(world, LEAVE_LAST)
    assert held(found) == [("v", "004"), ("w", "005")]
    assert {user for user, _ in known(config, found)[0]} == {"v"}
    (only,) = board_folder(config).glob("leave-last-*")
    assert only == found.folder
    remove_boards(config)
    assert not board_folder(config).exists()
