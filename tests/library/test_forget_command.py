"""The command `pwrank forget`, and the files that the caller brings to it."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

from pwrank.config import ColumnsConfig, SourceConfig
from pwrank.errors import SourceError
from pwrank.forget import person_of
from pwrank.forgetting.brought_files import clear_file
from pwrank.ingest import land_drops
from pwrank.landing.suppression import FORGOTTEN
from pwrank.store import Store
from tests.library.furnished_world import (
    LATER,
    SALT,
    USER,
    copy,
    nights,
    tree,
)
from tests.library.tiny_world import AS_OF, World

PLAIN = SourceConfig()


@pytest.fixture
def world(_furnished, tmp_path) -> World:
    return copy(_furnished, tmp_path / "world")


BROUGHT = {
    "p.csv": (
        b'\xef\xbb\xbfitem_id,user_id\r\n1,zoe@example\r\n2,"u\n00"\r\n\r\n"3,"zoe@example,x\r\n4,zoe\r\n',
        b'\xef\xbb\xbfitem_id,user_id\r\n2,"u\n00"\r\n\r\n4,zoe\r\n',
    ),
    "p.tsv": (b"user_id\titem_id\n zoe@example \t1\nu\t2\n", b"user_id\titem_id\nu\t2\n"),
    "p.jsonl": (
        b'{"user_id": "zoe@example", "item_id": 1}\n{"user_id":"u","item_id":2}\nzoe@example?\n',
        b'{"user_id":"u","item_id":2}\n',
    ),
    "p.json": (b'{"user_id": "zoe@example"}\n{"user_id":"u"}\n', b'{"user_id":"u"}\n'),
    "latin.csv": (b"user_id,n\nzoe@example,\xe9\nu,\xe9\n", b"user_id,n\nu,\xe9\n"),
    "none.csv": (b"user_id,n\nu,1\n", b"user_id,n\nu,1\n"),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", BROUGHT)
def test_a_brought_file_loses_the_persons_rows_and_no_other_byte(tmp_path, name, packed):
    before, after = BROUGHT[name]
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(before) if packed else before)
    person = person_of(Store(tmp_path), USER, SALT)
    gone = clear_file(path, person, PLAIN)
    content = path.read_bytes()
    assert (gzip.decompress(content) if packed else content) == after
    assert gone == before.count(b"zoe@example")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_brought_file_is_read_and_written_as_the_source_is(tmp_path, encoding):
    path = tmp_path / "p.csv"
    path.write_bytes("Kunde;Buch\r\nzoe@example;é\r\nü;ß\r\n".encode(encoding))
    source = SourceConfig(encoding=encoding, columns=ColumnsConfig(user_id="Kunde"))
    assert clear_file(path, person_of(Store(tmp_path), USER, SALT), source) == 1
    assert path.read_bytes() == "Kunde;Buch\r\nü;ß\r\n".encode(encoding)


def test_ids_in_bytes_are_read_as_text_and_what_is_none_is_nobody(tmp_path):
    path = tmp_path / "p.parquet"
    pl.DataFrame({"user_id": [USER.encode(), b"\xff", b"other"]}).write_parquet(path)
    assert clear_file(path, person_of(Store(tmp_path), USER, SALT), PLAIN) == 1
    assert pl.read_parquet(path)["user_id"].to_list() == [b"\xff", b"other"]


def test_no_brought_file_is_written_before_all_can_be_read(world, command, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(f"user_id,n\n{USER},1\n", encoding="utf-8")
    before = tree(world)
    both = ["--pairs", path, "--pairs", tmp_path / "nowhere.csv"]
    told = command("forget", "--config", world.config_file, "--user", USER, "--yes", *both)
    told.refuses(["nowhere.csv: no such file"])
    assert path.read_text(encoding="utf-8") == f"user_id,n\n{USER},1\n"
    assert tree(world) == before


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("p.csv", b"a,b\n1,2\n", "no column 'user_id'"),
        ("p.jsonl", b'{"a": 1}\n', "no column 'user_id'"),
        ("p.parquet", b"PAR1", "not a Parquet file or damaged"),
        ("p.csv.gz", b"no gzip", "damaged or cut off gzip"),
        ("nowhere.csv", None, "no such file"),
    ],
)
def test_a_brought_file_that_cannot_be_searched_is_named(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=told):
        clear_file(tmp_path / name, person_of(Store(tmp_path), USER, SALT), PLAIN)


def test_without_yes_the_command_only_tells(world, command):
    world.configure()
    before = tree(world)
    told = command("forget", "--config", world.config_file, "--user", USER)
    assert told.code == 2
    assert "nothing was changed; add --yes" in told.out
    assert tree(world) == before
    assert not (world.store.control / "forgotten.json").exists()


def test_of_a_user_whom_nothing_names_it_says_so(world, command):
    world.configure()
    asked = ("forget", "--config", world.config_file, "--user", "nobody")
    told = command(*asked)
    assert told.code == 2
    assert "files of the lake names this user: nothing to take out" in told.out
    assert "--yes would keep rows of theirs out" in told.out
    assert "add --yes to forget" not in told.out
    assert json.loads(command(*asked, "--json").out)["forgotten_at"] is None
    assert command(*asked, "--yes").code == 0
    again = command(*asked)
    assert "they were forgotten on 20" in again.out
    assert "--yes" not in again.out
    assert json.loads(command(*asked, "--json").out)["forgotten_at"][:10] in again.out


def test_the_command_prints_the_proof(world, command, tmp_path):
    world.configure()
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"user_id,item_id\n{USER},1\nu00,2\n", encoding="utf-8")
    arguments = ("--config", world.config_file, "--user", USER, "--yes", "--pairs", pairs)
    told = command("forget", *arguments)
    assert told.code == 0, told.err
    assert "files searched afterwards, 0 name this user" in told.out
    assert "signed anew: 2024-03-08, 2024-03-09" in told.out
    assert f"{pairs}: 1 rows taken out" in told.out
    assert pairs.read_text(encoding="utf-8") == "user_id,item_id\nu00,2\n"
    again = command("forget", *arguments, "--json")
    data = json.loads(again.out)
    assert (data["done"], data["naming_the_user"], data["pairs"]) == (True, [], {str(pairs): 0})
    assert USER not in told.out


def test_a_user_whom_nobody_knows_is_kept_out_all_the_same(world, command):
    world.configure()
    told = command("forget", "--config", world.config_file, "--user", "stranger", "--yes")
    assert told.code == 0
    assert "the lake held nothing of them" in told.out
    world.write_drop("s.csv", [("stranger", "001", "2024-03-04", 4, "view")])
    account = land_drops(world.store, world.configure(), now=LATER)["interactions"]
    assert account["rejected"] == {FORGOTTEN: 1}


def test_a_lake_that_is_not_there_is_no_place_to_forget_in(tiny_world, command):
    told = command("forget", "--config", tiny_world.config_file, "--user", "u", "--yes")
    told.refuses(["lake: there is no lake"])
    assert not tiny_world.store.lake.exists()


def test_nobody_is_no_person_to_forget(world, tiny_world, command):
    nights(tiny_world, AS_OF)
    told = command("forget", "--config", tiny_world.config_file, "--user", " ", "--yes")
    told.refuses(["--user is empty"])
