"""Hostile ids, ids that are words, and ids that are numbers are forgotten like any other."""

from __future__ import annotations

import polars as pl
import pytest

from pwrank.datasets import IdType, IdTypes
from pwrank.forget import look_for, person_of
from pwrank.publication import (
    read_rankings,
)
from tests.library.furnished_world import (
    SALT,
    bytes_naming,
    copy,
    forgotten,
    lists_of_others,
    nights,
    show_off,
)
from tests.library.tiny_world import AS_OF, World, make_world


def test_an_id_that_is_also_a_word_elsewhere_is_told_apart(tiny_world):
    tiny_world.write_drop("w.csv", [("view", "001", "2024-03-04T10:00:00Z", 4, "view")])
    nights(tiny_world, AS_OF)
    done = forgotten(tiny_world, "view")
    assert done.proof.as_user == []
    assert any("event" in finding.elsewhere for finding in done.proof.elsewhere)
    lists = read_rankings(tiny_world.store.lake, AS_OF).collect()
    assert "view" not in set(lists["user_id"])
    assert lists["user_id"].n_unique() == 16


HOSTILE = (
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "Robert'); DROP TABLE users;--",
    'say "hi", then',
    "two\nlines",
    "emoji 🦊 e\u0301",
    "  spaces  ",
    "{'user_id': 'u00'}",
    ".*",
    "\\x41",
)

WORDS = ("*", "a", "night")
"""Ids that stand in every page of every night."""


@pytest.fixture(scope="session")
def hostile_world(tmp_path_factory, tiny_encoder) -> World:
    world = make_world(tmp_path_factory.mktemp("hostile") / "world", tiny_encoder)
    for number, user in enumerate(HOSTILE + WORDS):
        rows = [(user, f"{n:03d}", f"2024-03-0{1 + n}T10:00:00Z", 4, "view") for n in range(5)]
        world.write_drop(f"h{number}.csv", [*rows, (user, "001", "soon", 4, "view")])
    nights(world, AS_OF)
    return world


@pytest.mark.parametrize("user", HOSTILE)
def test_hostile_ids_are_forgotten_like_any_other(hostile_world, tmp_path, user):
    world = copy(hostile_world, tmp_path / "world")
    show_off(world, user.replace("<", "&lt;"))
    user = user.strip()
    before = lists_of_others(world, AS_OF, user)
    assert before["user_id"].n_unique() == 16 + len(HOSTILE) + len(WORDS) - 1
    forgotten(world, user)
    assert read_rankings(world.store.lake, AS_OF).sort("user_id", "rank").collect().equals(before)
    assert look_for(world.store, person_of(world.store, user, SALT)).as_user == []
    found = bytes_naming(world, user)  # two letters stand in any weights by chance
    assert [path for path in found if path.suffix in (".json", ".html", ".md")] == []


@pytest.mark.parametrize("user", WORDS)
def test_an_id_that_every_page_holds_is_forgotten_too(hostile_world, tmp_path, command, user):
    world = copy(hostile_world, tmp_path / "world")
    show_off(world, user)
    world.configure()
    page = next((world.store.lake / "reports").rglob("*.html"))
    person = person_of(world.store, user, SALT)
    assert person.is_in_page(page.read_text(encoding="utf-8"))
    told = command("forget", "--config", world.config_file, "--user", user, "--yes")
    assert told.code == 0, told.err
    assert not person.is_in_page(page.read_text(encoding="utf-8"))


def test_whole_numbers_are_forgotten_where_ids_are_numbers(tiny_world, command):
    log = [(1 + n % 9, n * 7 % 20, 1709424000 + n * 3600) for n in range(90)]
    columns = ["user_id", "item_id", "timestamp"]
    pl.DataFrame(log, columns, orient="row").write_parquet(tiny_world.folder / "log.parquet")
    titles = {"item_id": list(range(20)), "title": [f"word{n}" for n in range(20)]}
    pl.DataFrame(titles).write_parquet(tiny_world.folder / "items.parquet")
    source = {"interactions": "log.parquet", "items": "items.parquet"}
    tiny_world.settings["source"] = source
    nights(tiny_world, AS_OF)
    assert tiny_world.store.id_types() == IdTypes(IdType.INT64, IdType.INT64)
    for spelled in ("007", "+7", "7.0"):
        asked = command("forget", "--config", tiny_world.config_file, "--user", spelled)
        asked.refuses(["user ids of this lake are whole numbers"])
    pairs = tiny_world.folder / "p.parquet"
    pl.DataFrame({"user_id": [7, 8, 7], "item_id": [1, 2, 3]}).write_parquet(pairs)
    told = command(
        "forget", "--config", tiny_world.config_file, "--user", "7", "--yes", "--pairs", pairs
    )
    assert told.code == 0, told.err
    for path in tiny_world.store.lake.rglob("*.parquet"):
        frame = pl.read_parquet(path)
        assert "user_id" not in frame.columns or 7 not in frame["user_id"].to_list()
    assert set(read_rankings(tiny_world.store.lake).collect()["user_id"]) == {
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        9,
    }
    assert 10 in set(read_rankings(tiny_world.store.lake).collect()["item_id"])
    assert pl.read_parquet(pairs)["user_id"].to_list() == [8]
    command("forget", "--config", tiny_world.config_file, "--user", "seven", "--yes").refuses(
        ["user ids of this lake are whole numbers"]
    )


def test_ids_with_space_around_them_that_an_older_lake_holds_are_forgotten_too(
    tiny_world, monkeypatch
):
    monkeypatch.setattr("pwrank.landing.parsing.parse_ids", lambda values, *_: values)
    rows = [(f" {user}", "001", "2024-03-04T10:00:00Z", 4, "view") for user in ("u00", "zoe")]
    tiny_world.write_drop("padded.csv", rows)
    nights(tiny_world, AS_OF)
    monkeypatch.undo()
    assert " zoe" in set(read_rankings(tiny_world.store.lake).collect()["user_id"])
    forgotten(tiny_world, "zoe")
    left = set(read_rankings(tiny_world.store.lake).collect()["user_id"])
    assert left & {" zoe", "zoe", " u00"} == {" u00"}
