"""Forgetting: one person gone from every file, everybody else untouched, and nobody comes back."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from pwrank.datasets import IdType, IdTypes
from pwrank.errors import ContractError, DateHeldError, LakeError, SourceError
from pwrank.evaluation.board_split import board_folder
from pwrank.forget import forget, look_for, person_of
from pwrank.forgetting.brought_files import clear_file
from pwrank.ingest import land_drops
from pwrank.landing.drops import read_drops
from pwrank.landing.suppression import FORGOTTEN, NO_RAW, Suppression
from pwrank.locks import date_lease, landing_lock, whole_lake
from pwrank.publication import (
    publication_path,
    published_dates,
    rankings_path,
    read_publication,
    read_rankings,
    rollback,
)
from pwrank.report.night import report_path, write_night_report
from pwrank.signatures import verify_publication, verify_ref
from pwrank.stage_log import StageRecord, write_stage_record
from pwrank.store import Store, read_json, write_json
from pwrank.train import newest_model
from tests.library.tiny_world import AS_OF, NOW, World, make_world, stage_night

SALT = "5a17" * 16
LATER = NOW + timedelta(days=1)
NEXT = AS_OF + timedelta(days=1)
USER = "zoe@example"
"""Has rows, is in the users table, stands in rejects, samples and on a page."""


def copy(source: World, folder: Path) -> World:
    """With its hard links, unlike shutil."""
    subprocess.run(["cp", "-a", str(source.folder), str(folder)], check=True)
    return World(folder, source.model, source.settings)


def furnish(world: World, user: str) -> None:
    """A world in which one user stands wherever a user can."""
    rows = [(user, f"{n:03d}", f"2024-03-0{1 + n % 6}T10:00:00Z", 4, "view") for n in range(7)]
    dirty = [(user, "001", "soon", 4, "view"), (user, "", "2024-03-02", 4, "view")]
    world.write_drop("2024-03-01-more.csv", [*rows, *dirty, (user, "001"), ("u00", "1")])
    users = world.folder / "users.csv"
    world.write_drop("../users.csv", [(user,), ("u01",), ("only-listed",)], ("user_id",))
    world.settings |= {"source": {"users": users.name}, "clean": {"max_bad_share": 0.9}}


def nights(world: World, *days) -> None:
    for day in days:
        night = stage_night(world.run(as_of=day, now=NOW))
        done = night.publish()
        write_night_report(
            night.run,
            night.refs,
            staged=night.staged,
            metrics=night.evaluate(),
            gates=done.gates,
            refusal=None,
        )


def show_off(world: World, user) -> None:
    """Put the user into the samples of gates and on the page of a night."""
    path = publication_path(world.store, AS_OF)
    told = read_json(path)
    told["gates"][1]["sample"] = str({"user_id": user, "rank": 1})
    write_json(path, told)
    gates = {"gates": told["gates"]}
    write_stage_record(world.store, AS_OF, StageRecord("publish", False, 1, 1.0, 1, gates))
    page = report_path(world.store, AS_OF)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("User <bdi>", f"User <bdi>{user}</bdi><bdi>"), encoding="utf-8")
    refused = report_path(world.store, AS_OF - timedelta(days=9))
    refused.parent.mkdir(parents=True)
    refused.write_text(f"e.g. {{'user_id': {user!r}}}", encoding="utf-8")


@pytest.fixture(scope="session")
def _furnished(tmp_path_factory, tiny_encoder) -> World:
    world = make_world(tmp_path_factory.mktemp("furnished") / "world", tiny_encoder)
    furnish(world, USER)
    nights(world, AS_OF, NEXT)
    show_off(world, USER)
    return world


@pytest.fixture
def world(_furnished, tmp_path) -> World:
    return copy(_furnished, tmp_path / "world")


def forgotten(world, user=USER, *, now=LATER, pairs=()):
    person = person_of(world.store, user, SALT)
    return forget(world.store, world.configure(), person, now=now, pairs=pairs)


def lists_of_others(world, as_of, user=USER) -> pl.DataFrame:
    lists = read_rankings(world.store.lake, as_of).filter(pl.col("user_id") != user)
    return lists.sort("user_id", "rank").collect()


def bytes_naming(world, user=USER) -> list[Path]:
    """Files with the id in them, Parquet unpacked."""
    found = []
    for path in (path for path in world.store.lake.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = str(pl.read_parquet(path).to_dicts()).encode()
        if str(user).encode() in content:
            found.append(path)
    return found


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


# --- killed --------------------------------------------------------------------------------


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def tree(world) -> dict[str, str]:
    """Every file by content, but for what tells when and how often."""
    told = {}
    for path in sorted(path for path in world.store.lake.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.parent.name == "published":
            content = json.dumps(read_json(path) | {"signed_again_at": None}).encode()
        content = content.replace(str(world.store.lake).encode(), b"LAKE")  # a page names it
        if path.name not in ("forgotten.json", "lake.json") and path.suffix != ".lock":
            told[str(path.relative_to(world.store.lake))] = hashlib.sha256(content).hexdigest()
    return told


@pytest.fixture(scope="session")
def undisturbed(_furnished, tmp_path_factory) -> tuple[int, dict[str, str]]:
    """How many files are renamed in all, and what the lake is then."""
    world = copy(_furnished, tmp_path_factory.mktemp("undisturbed") / "world")
    renames, replace = [], Path.replace
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", lambda p, to: renames.append(to) or replace(p, to))
        forgotten(world)
    return len(renames), tree(world)


@pytest.mark.parametrize("part", range(8))
def test_killed_anywhere_a_second_call_finishes_the_rest(world, undisturbed, monkeypatch, part):
    count, expected = undisturbed
    moment = random.Random(part).randrange(part * count // 8, (part + 1) * count // 8)  # noqa: S311
    renames, replace = [], Path.replace

    def replace_some(path, target):
        renames.append(target)
        if len(renames) == moment + 1:
            if part % 2:
                replace(path, target)
            raise Killed
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_some)
    with pytest.raises(Killed):
        forgotten(world)
    monkeypatch.undo()
    forgotten(world)
    assert tree(world) == expected
    assert bytes_naming(world) == []


DRIVER = """
import os, sys
from pathlib import Path
replace, count = Path.replace, [int(sys.argv.pop(1))]
def dying(path, target):
    count[0] -= 1
    if count[0] < 0:
        os._exit(137)
    return replace(path, target)
Path.replace = dying
from flows.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_process_that_dies_leaves_nothing_that_a_second_one_does_not_mend(
    world, undisturbed, share, command
):
    world.configure()
    moment = int(undisturbed[0] * share)
    arguments = ["forget", "--config", str(world.config_file), "--user", USER, "--yes"]
    done = subprocess.run([sys.executable, "-c", DRIVER, str(moment), *arguments], check=False)
    assert done.returncode == 137
    assert command(*arguments).code == 0
    assert bytes_naming(world) == []
    assert list(world.store.lake.rglob(".tmp-*")) == []
    for day in published_dates(world.store):
        verify_publication(world.store, read_publication(world.store, day))


def test_readers_of_others_see_their_lists_all_the_while(world):
    expected = lists_of_others(world, AS_OF)
    wrong, reads, stop = [], [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            lists = lists_of_others(world, AS_OF)
            try:
                glob = pl.read_parquet(world.store.lake / rankings_path(AS_OF) / "*.parquet")
            except FileNotFoundError:  # it ran through the swap, and is told so
                continue
            others = glob.filter(pl.col("user_id") != USER).sort("user_id", "rank")
            reads.append(1)
            if not (lists.equals(expected) and others.equals(expected)):
                wrong.append(lists)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        forgotten(world)
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert len(reads) > 3


# --- files of the caller's own --------------------------------------------------------------

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
    gone = clear_file(path, person, "user_id")
    content = path.read_bytes()
    assert (gzip.decompress(content) if packed else content) == after
    assert gone == before.count(b"zoe@example")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


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
        clear_file(tmp_path / name, person_of(Store(tmp_path), USER, SALT), "user_id")


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


# --- the command ---------------------------------------------------------------------------


def test_without_yes_the_command_only_tells(world, command):
    world.configure()
    before = tree(world)
    told = command("forget", "--config", world.config_file, "--user", USER)
    assert told.code == 2
    assert "nothing was changed; add --yes" in told.out
    assert tree(world) == before
    assert not (world.store.control / "forgotten.json").exists()


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


def test_an_id_that_is_also_a_word_elsewhere_is_told_apart(world, tiny_world):
    tiny_world.write_drop("w.csv", [("view", "001", "2024-03-04T10:00:00Z", 4, "view")])
    nights(tiny_world, AS_OF)
    done = forgotten(tiny_world, "view")
    assert done.proof.as_user == []
    assert any("event" in finding.elsewhere for finding in done.proof.elsewhere)
    lists = read_rankings(tiny_world.store.lake, AS_OF).collect()
    assert "view" not in set(lists["user_id"])
    assert lists["user_id"].n_unique() == 16


def test_a_lake_that_is_not_there_is_no_place_to_forget_in(tiny_world, command):
    told = command("forget", "--config", tiny_world.config_file, "--user", "u", "--yes")
    told.refuses(["lake: there is no lake"])
    assert not tiny_world.store.lake.exists()


def test_nobody_is_no_person_to_forget(world, tiny_world, command):
    nights(tiny_world, AS_OF)
    told = command("forget", "--config", tiny_world.config_file, "--user", " ", "--yes")
    told.refuses(["--user is empty"])


# --- hostile and whole ids -----------------------------------------------------------------

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


def test_what_boards_left_beside_the_lake_goes_with_the_person(world):
    config = world.configure()
    left = board_folder(config) / "leave-last-0" / "held-out.parquet"
    left.parent.mkdir(parents=True)
    pl.DataFrame({"user_id": [USER]}).write_parquet(left)
    forgotten(world)
    assert not board_folder(config).exists()
