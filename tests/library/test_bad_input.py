"""Bad input: exit code 2 and at most three lines that name the place, the fact and the next step.

What can be mended row by row is counted as rejects instead, and the run goes on.
"""

from __future__ import annotations

import json

import polars as pl
import pytest

from tests.library.tiny_world import AS_OF, World, some_items
from tests.library.told import lake_is_a_file, other_version

COLUMNS = ("user_id", "item_id", "timestamp", "rating", "event")
GOOD = ("u00", "001", "2024-03-03T10:00:00Z", 4, "view")


def drop(rows, columns=COLUMNS):
    return lambda world: world.write_drop("bad.csv", rows, columns)


def only(rows, columns=COLUMNS):
    """The log consists of these rows."""

    def spoil(world: World) -> None:
        for path in world.drops.iterdir():
            path.unlink()
        world.write_drop("bad.csv", rows, columns)

    return spoil


def items(*rows, keep=True):
    return lambda world: world.write_items([*(some_items() if keep else ()), *rows])


def raw(name, content):
    def spoil(world: World) -> None:
        (world.folder / name).write_bytes(content)

    return spoil


def config(text):
    """The configuration with these lines more."""

    def spoil(world: World) -> None:
        world.configure()
        with world.config_file.open("a", encoding="utf-8") as file:
            file.write(text)

    return spoil


def missing(name):
    return lambda world: (world.folder / name).unlink()


REFUSED_BY_CHECK = {
    "a missing file": (missing("items.jsonl"), ["items.jsonl: no such file", "set `items`"]),
    "an empty file": (raw("drops/2024-03-99.csv", b""), ["2024-03-99.csv", "empty"]),
    "a header and no rows": (
        only([]),
        ["interactions: no rows in bad.csv", "mend the export or set [source] interactions"],
    ),
    "items that are a header and no rows": (
        lambda world: (raw("items.csv", b"item_id,title\n")(world),
                       world.configure(source={"items": "items.csv"})),
        ["items: no rows in items.csv", "mend the export or set [source] items"],
    ),
    "a wrong column name": (
        raw("drops/2024-03-99.csv", b"userid,item_id,timestamp\na,b,2024-03-01\n"),
        ["no column 'user_id'", "did you mean 'userid'?", "set source.columns.user_id"],
    ),
    "a configured column that is not there": (
        config('[source.columns]\nrating = "stars"\n'),
        ["no column 'stars'", "found: user_id, item_id", "set source.columns.rating"],
    ),
    "timestamps that are none": (
        raw("drops/2024-03-99.csv", b"user_id,item_id,timestamp\na,b,soon\nc,d,later\n"),
        ["2 of 2 rows are unusable", "timestamp is not a time", "check [source.columns]"],
    ),
    "days of a spreadsheet": (
        raw("drops/2024-03-99.csv", b"user_id,item_id,timestamp\na,b,46023.5\nc,d,46022\n"),
        ["2024-03-99.csv: all timestamps lie on 1970-01-01", "(46022 is 2025-12-31 00:00 there)",
         "write them as dates", 'source.timestamp_unit = "seconds"'],
    ),
    "text in the rating column": (
        raw("drops/2024-03-99.csv", b"user_id,item_id,timestamp,rating\na,b,2024-03-01,good\n"),
        ["2024-03-99.csv: 1 of 1 rows", "rating is not a number"],
    ),
    "a catalogue without a text column": (
        raw("items.jsonl", b'{"item_id": "000", "price": 3}\n'),
        ["items.jsonl: catalogue without text", "set source.columns.title"],
    ),
    "an unknown key": (
        config("[score]\nshard = 3\n".replace("[score]\n", "[rerank]\n")),
        ["pwrank.toml: unknown key 'rerank.shard'"],
    ),
    "an unknown key that is nearly one": (
        config("[rerank]\ndiversty = 0.1\n"),
        ["unknown key 'rerank.diversty'", "did you mean 'diversity'?"],
    ),
    "no configuration": (missing("pwrank.toml"), ["no such file", "`pwrank init` writes one"]),
    "a lake that is a file": (lake_is_a_file, ["lake: not a folder", "set `lake`"]),
    "a lake of another version": (other_version, ["format 99", "set `lake` to a new folder"]),
    "something that is no Parquet": (
        raw("drops/2024-03-99.parquet", b"PAR1 or is it"), ["2024-03-99.parquet"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_BY_CHECK)
def test_check_refuses(tiny_world, command, case):
    spoil, parts = REFUSED_BY_CHECK[case]
    spoil(tiny_world)
    command("check", "--config", tiny_world.config_file).refuses(parts)


REFUSED_BY_A_RUN = {
    "item rows of one file that disagree": (
        items({"item_id": "000", "title": "another"}),
        {},
        ["items.jsonl: 1 item ids", "'000' (line ", 'duplicate_items = "last"'],
    ),
    "a file without times beside others": (
        raw("drops/2024-03-99.csv", b"user_id,item_id\nu00,001\n"),
        {},
        ["2024-03-99.csv: no timestamps, while 2024-03-08.csv has them", 'timestamp = ""'],
    ),
    "items of which none is available": (
        items({"item_id": "000", "title": "word1", "available": False}, keep=False),
        {},
        ["none of the 1 items", "is available"],
    ),
    "items without an id": (
        items({"item_id": None, "title": "word1"}, keep=False),
        {"clean": {"max_bad_share": 1.0}},
        ["the catalogue has no usable item rows"],
    ),
    "a catalogue whose texts are all empty": (
        items({"item_id": "000", "title": ""}, keep=False),
        {},
        ["none of the 1 items", "has text", "[source.columns]"],
    ),
    "no interaction before the date": (
        only([("u", "001", "2024-03-12", 1, "view")]),
        {},
        ["no interactions before 2024-03-08", "1 after the cut", "choose a later --as-of"],
    ),
    "future dates only": (
        only([("u", "001", "2031-03-12", 1, "view")] * 3),
        {},
        ["bad.csv: 3 of 3 rows", "timestamp is in the future"],
    ),
    "ratings that are not a number": (
        only([("u", "001", "2024-03-02", "NaN", "view")] * 3),
        {},
        ["bad.csv: 3 of 3 rows", "rating is not a finite number"],
    ),
    "everything cleaned away": (
        drop([]) and only([GOOD]),
        {"clean": {"positive_rating": 5}},
        ["no interactions before 2024-03-08", "1 not positive", "check [clean]"],
    ),
    "items that the catalogue does not know": (
        only([("u", "x", "2024-03-02", 4, "view"), ("v", "y", "2024-03-02", 4, "view")]),
        {},
        ["no interactions with known items"],
    ),
    "a model that nobody knows": (
        lambda world: None,
        {"encoder": {"model": "nobody/knows-it", "device": "cpu"}},
        ["nobody/knows-it"],
    ),
    "a lake that cannot be written": (lake_is_a_file, {}, ["cannot be written", "set `lake`"]),
    "one user who has had the only item": (
        lambda world: (only([("u", "000", "2024-03-02", 4, "view")])(world),
                       items({"item_id": "000", "title": "word1"}, keep=False)(world)),
        {},
        ["no list for anybody", "exclude_seen = false"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_BY_A_RUN)
def test_a_run_refuses(tiny_world, stages, case):
    spoil, sections, parts = REFUSED_BY_A_RUN[case]
    spoil(tiny_world)
    stages(tiny_world, **sections).refuses(parts)
    assert not (tiny_world.store.lake / "rankings").exists()


@pytest.mark.parametrize("case", sorted({*REFUSED_BY_CHECK} - {"a lake that is a file"}))
def test_a_plan_refuses_what_check_refuses(tiny_world, command, case):
    spoil, parts = REFUSED_BY_CHECK[case]
    spoil(tiny_world)
    command("plan", "--config", tiny_world.config_file, "--as-of", AS_OF).refuses(parts)


@pytest.mark.parametrize(
    "case", sorted({*REFUSED_BY_A_RUN} - {"one user who has had the only item"})
)
def test_a_plan_refuses_in_the_words_of_a_run(tiny_world, stages, command, case):
    spoil, sections, _ = REFUSED_BY_A_RUN[case]
    spoil(tiny_world)
    tiny_world.configure(**sections)
    planned = command("plan", "--config", tiny_world.config_file, "--as-of", AS_OF)
    planned.refuses([stages(tiny_world, **sections).err])
    assert planned.out == ""


LANDED = (
    "item rows of one file that disagree",
    "no interaction before the date",
    "everything cleaned away",
)


@pytest.mark.parametrize("case", LANDED)
def test_a_plan_refuses_what_was_landed_before_the_run_was_refused(
    tiny_world, stages, command, case
):
    spoil, sections, parts = REFUSED_BY_A_RUN[case]
    spoil(tiny_world)
    tiny_world.settings = sections
    stages(tiny_world).refuses(parts)
    command("plan", "--config", tiny_world.config_file, "--as-of", AS_OF).refuses(parts)


COUNTED = {
    "unparsable timestamps": ([(*GOOD[:2], "soon", 4, "view")], "timestamp is not a time"),
    "missing timestamps": ([(*GOOD[:2], "", 4, "view")], "timestamp is missing"),
    "future dates": ([(*GOOD[:2], "2031-01-01", 4, "view")], "timestamp is in the future"),
    "dates before time began": ([(*GOOD[:2], "1066-10-14", 4, "view")], "timestamp is not a time"),
    "text in a numeric column": ([(*GOOD[:3], "good", "view")], "rating is not a number"),
    "ratings that are NaN": ([(*GOOD[:3], "nan", "view")], "rating is not a finite number"),
    "rows without a user": ([("", *GOOD[1:])], "user_id is missing"),
    "torn lines": ([GOOD[:2]], ""),
}


@pytest.mark.parametrize("case", COUNTED)
def test_single_bad_rows_are_counted_and_the_night_goes_on(tiny_world, stages, case):
    rows, reason = COUNTED[case]
    tiny_world.write_drop("bad.csv", [GOOD, *rows])
    told = stages(tiny_world)
    assert (told.code, told.err) == (0, "")
    rejected = json.loads(told.out)["interactions"]["rejected"]
    assert sum(rejected.values()) == 1
    assert next(iter(rejected)).startswith(reason)


def test_unknown_items_in_between_are_kept_as_history_and_never_ranked(tiny_world, stages):
    tiny_world.write_drop("bad.csv", [GOOD, ("u00", "unheard-of", *GOOD[2:])])
    assert stages(tiny_world).code == 0
    staged = tiny_world.store.refs("staged")[0].file_paths(tiny_world.store.lake)
    assert "unheard-of" not in set(pl.read_parquet(staged)["item_id"])


@pytest.mark.parametrize("times", [(20_000, 80_001), (19_999, 46_000), (1_709_460_000, 46_000)])
def test_numbers_that_are_not_all_days_of_a_spreadsheet_are_seconds(tiny_world, stages, times):
    tiny_world.write_drop("bad.csv", [(*GOOD[:2], time, 4, "view") for time in times])
    assert stages(tiny_world).code == 0


def test_who_says_that_the_unit_is_seconds_is_believed(tiny_world, stages):
    tiny_world.write_drop("bad.csv", [(*GOOD[:2], 46_000, 4, "view")])
    stages(tiny_world).refuses(["all timestamps lie on 1970-01-01"])
    assert stages(tiny_world, source={"timestamp_unit": "seconds"}).code == 0
