"""What a bad disk or a hand has spoiled in a lake is named with what to do, or made again."""

from __future__ import annotations

import io
import re
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from pwrank.errors import LakeError
from pwrank.ingest import ingest
from pwrank.publication import read_publication
from pwrank.signatures import verify_publication
from pwrank.store import read_json
from tests.library.tiny_world import (
    AS_OF,
    DAYS,
    FIRST_DAY,
    NOW,
    World,
    some_interactions,
    stage_night,
)


@pytest.fixture
def world(published_world, tmp_path) -> World:
    """A published night of one's own, in which published parts are links of the staged."""
    folder = tmp_path / "world"
    shutil.copytree(published_world.folder, folder)
    mine = World(folder, published_world.model)
    mine.configure()
    return mine


def some(world, pattern) -> Path:
    return min(world.store.lake.glob(pattern))


def spoil(path, content) -> None:
    path.unlink()
    path.write_bytes(content)


def damaged_inside(path) -> bytes:
    """A Parquet file with its beginning and its footer, and all data between turned over."""
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    turned = bytes(byte ^ 0xFF for byte in content[4:footer])
    return content[:4] + turned + content[footer:]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"as_of": "20', b"\x96\x00"])
@pytest.mark.parametrize(
    ("pattern", "asked"),
    [
        ("control/current.json", ("show", "--user", "u01")),
        ("control/published/*.json", ("status",)),
        ("control/published/*.json", ("rollback", "--to", AS_OF)),
        ("control/ids.json", ("show", "--user", "u01")),
        ("control/manifests/histories/**/*.json", ("show", "--user", "u01")),
        ("control/drops/items/*.json", ("plan", "--as-of", AS_OF)),
    ],
)
def test_a_damaged_record_is_named_with_the_next_step(world, command, pattern, asked, content):
    path = some(world, pattern)
    spoil(path, content)
    told = command(*asked, "--config", world.config_file)
    told.refuses([str(path), "damaged", "remove it and run again"])


def test_a_date_whose_record_was_damaged_and_removed_is_repeated_as_it_was_known(world, command):
    path = some(world, "control/published/*.json")
    before = read_json(path)
    world.write_drop("late.csv", [("u00", "019", "2024-03-02T10:00:00Z", 5, "view")])
    spoil(path, b"{")
    with pytest.raises(LakeError, match="remove it and run again"):
        world.run(now=NOW + timedelta(days=2))
    path.unlink()
    again = stage_night(world.run(now=NOW + timedelta(days=2)))
    assert again.known.landed["interactions"]["rows_landed"] == 1
    again.publish()
    after = read_json(path)
    for name in ("known_at", "version", "inputs", "seen_until"):
        assert after[name] == before[name]


def test_a_file_that_is_damaged_inside_is_found_and_named(world, command):
    path = some(world, "catalogue/**/*.parquet")
    spoil(path, damaged_inside(path))
    told = command("show", "--user", "u01", "--config", world.config_file)
    told.refuses([str(path), "damaged (", "remove it and run again"])


def test_a_published_part_that_is_gone_or_exchanged_is_named(world, command):
    (path, *_) = some(world, "staged/**/part-00000.parquet").parent.glob("*.parquet")
    again = f"`pwrank run --as-of {AS_OF}` makes the date again"
    rollback = ("rollback", "--to", AS_OF, "--config", world.config_file)
    whole = path.read_bytes()
    for content in (whole[:50], damaged_inside(path)):
        spoil(path, content)
        command(*rollback).refuses([str(path), "not the file that was written", again])
    path.unlink()
    command(*rollback).refuses([str(path), "no such file", again])
    show = ("show", "--user", "u01", "--config", world.config_file)
    command(*show).refuses([str(path), "published, but no longer there", again])


@pytest.mark.parametrize("dataset", ["catalogue", "histories", "staged"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and what came next"])
def test_a_file_that_was_cut_off_is_made_again(world, dataset, content):
    path = some(world, f"{dataset}/**/part-00000.parquet")
    before = pl.read_parquet(path)
    spoil(path, content)
    stage_night(world.run()).publish()
    assert pl.read_parquet(path).equals(before)
    verify_publication(world.store, read_publication(world.store, AS_OF))


@pytest.mark.parametrize("content", [None, b"PAR1 and what came next"])
def test_the_next_night_does_without_the_catalogue_of_the_last(world, content):
    path = some(world, "catalogue/**/part-00000.parquet")
    path.unlink()
    if content:
        path.write_bytes(content)
    night = stage_night(world.run(as_of=AS_OF + timedelta(days=1)))
    night.publish()
    figures = read_json(night.evaluate().file_paths(world.store.lake)[0])
    assert figures["published"]["until"] == str(AS_OF + timedelta(days=1))


def landed_parts(world) -> list[Path]:
    return sorted(world.store.lake.glob("interactions/*/part-00000.parquet"))


def exchange(paths):
    shutil.copy(paths[1], paths[0].with_suffix(".new"))
    paths[0].with_suffix(".new").replace(paths[0])


def another_table(paths):
    pl.DataFrame({"colour": ["red"] * 12}).write_parquet(paths[0].with_suffix(".new"))
    paths[0].with_suffix(".new").replace(paths[0])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda paths: spoil(paths[0], paths[0].read_bytes()[:-9]), "damaged ("),
        (lambda paths: shutil.rmtree(paths[0].parent), "landed, but no longer there"),
        (exchange, "holds rows of another source file"),
        (another_table, "holds rows of another source file"),
        (lambda paths: spoil(paths[0], fewer_rows(paths[0])), "rows, "),
    ],
)
def test_landed_rows_that_are_not_as_they_were_are_named_and_landed_anew(tiny_world, harm, told):
    night = stage_night(tiny_world.run())
    harm(landed_parts(tiny_world))
    later = {"as_of": AS_OF + timedelta(days=1), "now": night.run.now + timedelta(days=1)}
    with pytest.raises(LakeError, match=re.escape(told)) as caught:
        ingest(tiny_world.run(**later))
    record = re.search(r"remove (\S+\.json) and run again", str(caught.value))
    assert record, caught.value
    Path(record[1]).unlink()
    again = ingest(tiny_world.run(**later))
    assert again.histories.rows == DAYS * 12, "every row of every drop"


@pytest.mark.parametrize("letter", ["x", "ä", "語", "🦊"])
@pytest.mark.parametrize("size", [56, 60, 64, 68, 200])
def test_a_landed_file_is_its_own_whatever_the_length_of_its_name(tiny_world, letter, size):
    name = letter * (size // len(letter.encode())) + ".csv"
    tiny_world.write_drop(name, some_interactions(FIRST_DAY))
    ingest(tiny_world.run())
    ingest(tiny_world.run(as_of=AS_OF + timedelta(days=1)))
    (mine,) = (path for path in landed_parts(tiny_world) if of_file(path) == name)
    other = next(path for path in landed_parts(tiny_world) if path != mine)
    exchange([mine, other])
    with pytest.raises(LakeError, match="holds rows of another source file"):
        ingest(tiny_world.run(as_of=AS_OF + timedelta(days=2)))


def of_file(path) -> str:
    return pl.read_parquet(path)["source_file"][0]


def fewer_rows(path) -> bytes:
    content = io.BytesIO()
    pl.read_parquet(path).head(3).write_parquet(content)
    return content.getvalue()


def test_the_status_tells_of_lists_that_are_cut_off_or_not_alone(world, command):
    (path, *_) = some(world, "staged/**/part-00000.parquet").parent.glob("*.parquet")
    whole = path.read_bytes()
    spoil(path, whole[:50])
    told = command("status", "--config", world.config_file)
    assert f"damaged: {path}: not the file that was published" in told.out
    spoil(path, whole)
    assert "damaged" not in command("status", "--config", world.config_file).out
    some(world, f"rankings/v1/as_of={AS_OF}/*").with_name("part-00099.parquet").write_bytes(whole)
    told = command("status", "--config", world.config_file)
    assert "other files than the lists that were published; `pwrank run --as-of" in told.out
    stage_night(world.run()).publish()
    assert "damaged" not in command("status", "--config", world.config_file).out
