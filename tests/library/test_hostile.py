"""Hostile input from end to end: no traceback, no row lost or invented, none outside a lake."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pwrank.config import Config
from pwrank.config_file import load_config
from pwrank.datasets import IdType, IdTypes
from pwrank.errors import ConfigError, LakeError, SourceError
from pwrank.ingest import land_drops
from pwrank.landing.drops import read_drops
from pwrank.landing.timestamps import parse_timestamps
from pwrank.publication import read_rankings
from pwrank.report.night import write_night_report
from pwrank.store import Store, read_json
from pwrank.user_files import read_user_file
from tests.library.tiny_world import AS_OF, NOW, some_items, stage_night

fuzz = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NASTY = (
    "../../outside",
    "/etc/passwd",
    "a/b\\c",
    "'; DROP TABLE users; --",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>1</script>",
    "{{ 7*7 }}{% raw %}",
    "two\nlines",
    "carriage\rreturn",
    'quo"te, comma',
    "🦊🏳️‍🌈",
    "\u202egnirts",
    "null",
    "NaN",
    "007",
    "1e5",
    "=cmd()",
    "%s%n",
    "C:\\x",
    "\ufeff",
)
"""Ids and titles that something downstream could take for something else."""

cell = st.sampled_from(NASTY) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def csv_text(rows, columns=("user_id", "item_id", "timestamp")) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    return text.getvalue()


def config_of(folder: Path) -> Config:
    (folder / "items.csv").write_text("item_id,title\ni,word1\n", encoding="utf-8")
    path = folder / "pwrank.toml"
    path.write_text(
        'lake = "lake"\n[source]\ninteractions = "drops"\nitems = "items.csv"\n'
        "[clean]\nmax_bad_share = 1.0\n",
        encoding="utf-8",
    )
    return load_config(path)


@fuzz
@given(rows=st.lists(st.tuples(cell, cell), min_size=1, max_size=8))
@example(rows=[(one, other) for one, other in zip(NASTY, reversed(NASTY), strict=True)])
def test_every_nasty_id_lands_without_space_around_it_or_is_rejected_and_counted(
    tmp_path_factory, rows
):
    folder = tmp_path_factory.mktemp("land")
    (folder / "drops").mkdir()
    config = config_of(folder)
    dated = [(*row, "2024-03-02T10:00:00Z") for row in rows]
    (folder / "drops" / "a.csv").write_bytes(csv_text(dated).encode())
    before = files_of(folder)
    store = Store(config.lake).open()
    told = land_drops(store, config, now=NOW)["interactions"]
    # What is blank is Unicode's business: Python takes control characters for it too.
    bare = [tuple(pl.Series(row).str.strip_chars()) for row in rows]
    good = [row for row in bare if all(row)]
    assert (told["rows_in"], told["rows_landed"]) == (len(rows), len(good))
    assert told["rows_landed"] + sum(told["rejected"].values()) == len(rows)
    paths = [store.lake / name for d in read_drops(store, "interactions") for name in d.files]
    landed = pl.read_parquet(paths).select("user_id", "item_id").rows() if paths else []
    assert landed == good
    assert all(store.lake in path.parents for path in files_of(folder) - before)


@fuzz
@given(
    content=st.binary(max_size=300),
    name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.gz", "a"]),
    ids=st.sampled_from([IdTypes(), IdTypes(IdType.INT64, IdType.INT64)]),
    with_header=st.booleans(),
)
def test_any_bytes_in_a_file_of_ones_own_are_rows_or_a_source_error(
    tmp_path_factory, content, name, ids, with_header
):
    folder = tmp_path_factory.mktemp("brought")
    content = b"user_id,item_id\n" + content if with_header else content
    packed = gzip.compress(content) if name.endswith(".gz") and with_header else content
    (folder / name).write_bytes(packed)
    with contextlib.suppress(SourceError):
        told = read_user_file(folder / name, config_of(folder), ids)
        assert told.frame.height == len(told.user_id) == len(told.item_id) > 0


@fuzz
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_in_a_configuration_or_a_manifest_are_told_in_words(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("config") / "pwrank.toml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        load_config(path)
    with contextlib.suppress(LakeError):
        read_json(path)


@fuzz
@given(keep=st.integers(0, 2_000), suffix=st.sampled_from(["parquet", "csv.gz", "jsonl.gz"]))
def test_a_file_that_was_cut_off_lands_nothing_and_is_named(tmp_path_factory, keep, suffix):
    folder = tmp_path_factory.mktemp("cut")
    (folder / "drops").mkdir()
    path = folder / "drops" / f"a.{suffix}"
    frame = pl.DataFrame(
        {"user_id": [f"u{n}" for n in range(40)], "item_id": ["i"] * 40, "timestamp": [1.7e9] * 40}
    )
    if suffix == "parquet":
        frame.write_parquet(path)
    else:
        text = frame.write_csv() if suffix.startswith("csv") else frame.write_ndjson()
        path.write_bytes(gzip.compress(text.encode()))
    whole = path.read_bytes()
    keep %= len(whole)
    path.write_bytes(whole[:keep])
    config = config_of(folder)
    store = Store(config.lake).open()
    with pytest.raises(SourceError, match=r"a\.(parquet|csv|jsonl)"):
        land_drops(store, config, now=NOW)
    assert read_drops(store, "interactions") == []


@fuzz
@given(
    when=st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59)),  # noqa: DTZ001
    spelling=st.sampled_from(
        ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S+00:00"]
    ),
)
def test_every_second_from_1970_to_9999_is_read_as_it_is(tmp_path_factory, when, spelling):
    when = when.replace(microsecond=0)
    text = when.strftime(spelling)
    text = text.zfill(len(text) + 4 - len(str(when.year))) if when.year < 1000 else text
    told = parse_timestamps(pl.Series([text]), config_of(tmp_path_factory.mktemp("t")).source)
    assert told.item() == when.replace(tzinfo=UTC)


def test_lines_of_several_encodings_are_rows_where_they_are_text(tmp_path):
    (tmp_path / "drops").mkdir()
    row = "é,i,2024-03-02\n"
    lines = [b"user_id,item_id,timestamp\n", row.encode(), row.encode("latin-1")]
    lines += [b"ok,i,2024-03-02\n", row.encode("utf-16-le")]
    (tmp_path / "drops" / "a.csv").write_bytes(b"".join(lines))
    config = config_of(tmp_path)
    told = land_drops(Store(config.lake).open(), config, now=NOW)["interactions"]
    assert told["rows_in"] == told["rows_landed"] + sum(told["rejected"].values())
    assert told["rows_landed"] == 2


def test_a_field_of_ten_megabytes_is_a_field(tmp_path):
    (tmp_path / "drops").mkdir()
    long = "x" * 10_000_000
    rows = [("u", "i", "2024-03-02"), (long, "i", "2024-03-02"), ("v", "i", long)]
    (tmp_path / "drops" / "a.csv").write_text(csv_text(rows), encoding="utf-8")
    config = config_of(tmp_path)
    store = Store(config.lake).open()
    told = land_drops(store, config, now=NOW)["interactions"]
    assert (told["rows_in"], told["rows_landed"]) == (3, 2)
    rejects = pl.read_parquet(store.lake / "rejects/interactions/*/*.parquet")
    assert rejects["raw"].str.len_chars().max() <= 2_000


class Tags(HTMLParser):
    """Tags and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.words.append(data)


def test_a_night_of_nasty_ids_and_titles_is_published_and_its_page_runs_nothing(tiny_world):
    start = datetime(2024, 3, 2, tzinfo=UTC)
    rows = [
        (
            user,
            NASTY[(n + step) % len(NASTY)],
            (start + timedelta(hours=n + step)).isoformat(),
            4,
            "v",
        )
        for n, user in enumerate(NASTY)
        for step in range(6)
        if user.strip() and user != "\ufeff"
    ]
    rows = [row for row in rows if row[1] != "\ufeff"]
    tiny_world.write_drop("nasty.csv", rows)
    others = [name for name in NASTY if name not in ("\ufeff", "007")]  # 007 is there already
    catalogue = [{"item_id": name, "title": f"{name} word1"} for name in others]
    tiny_world.write_items([*some_items(), *catalogue])
    before = files_of(tiny_world.folder)
    night = stage_night(tiny_world.run())
    done = night.publish()
    listed = set(read_rankings(tiny_world.store.lake).collect()["user_id"])
    assert {row[0] for row in rows} <= listed
    told = [dict(gate) | {"sample": NASTY[4], "figure": NASTY[5]} for gate in done.gates]
    page = write_night_report(
        night.run,
        night.refs,
        staged=night.staged,
        metrics=night.evaluate(),
        gates=told,
        refusal=None,
    )
    assert all(
        tiny_world.store.lake in path.parents for path in files_of(tiny_world.folder) - before
    )
    found = Tags(page.read_text(encoding="utf-8"))
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & found.tags
    assert not {name for name in found.attributes if name.startswith("on")}
    assert not {"src", "href", "srcset", "action"} & found.attributes
    assert NASTY[4] in " ".join(found.words)
    assert AS_OF.isoformat() in " ".join(found.words)
