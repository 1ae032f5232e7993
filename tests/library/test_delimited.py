"""Delimited text: physical lines, quotes, separators, encodings, and what is wrong with a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pwrank.errors import ConfigError, SourceError
from pwrank.sources import delimited as delimited_module
from tests.library.read_sources import HEADER, lines_of, read, written


def test_lines_are_physical_even_after_quoted_newlines_and_blank_lines(tmp_path: Path) -> None:
    text = 'item_id,title\r\n1,"two\r\nlines"\r\n\r\n2,"say ""hi"", ok"\n3,"a\n\nb"\n4,d'
    batch = read(written(tmp_path / "items.csv", text), "items")
    assert lines_of(batch) == [2, 5, 6, 9]
    assert batch.rows["title"].to_list() == ["two\r\nlines", 'say "hi", ok', "a\n\nb", "d"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.dat"])
@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_separator_is_found_in_the_header(tmp_path: Path, name: str, separator: str) -> None:
    text = "\ufeff" + (HEADER + "1,007,5\n").replace(",", separator)
    rows = read(written(tmp_path / name, text)).rows
    assert rows.row(0, named=True) == {
        "user_id": "1",
        "item_id": "007",
        "timestamp": "5",
        "source_line": 2,
    }


def test_a_separator_may_be_configured_and_have_several_characters(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'user_id::item_id::timestamp\n1::"2::3\n')
    assert read(path, separator="::").rows["item_id"].to_list() == ['"2']
    with pytest.raises(ConfigError, match="separator"):
        read(path, separator='"')


def test_broken_lines_are_set_aside_and_their_neighbours_are_kept(tmp_path: Path) -> None:
    text = (
        HEADER.encode()
        + b"1,1,1\n1,1\n1,1,1,1\n\xff,1,1\n1,\0,1\n"
        + b'1,"open,1\n2,2,2\n3,"x"y,3\n4,"ok",4\n5,5,"never closed\n6,6,6'
    )
    batch = read(written(tmp_path / "a.csv", text))
    assert lines_of(batch) == [2, 8, 10, 12]
    assert batch.rejects.select("source_line", "reason").rows() == [
        (3, "the line has the wrong number of fields"),
        (4, "the line has the wrong number of fields"),
        (5, "the line cannot be decoded"),
        (6, "the line holds a NUL byte"),
        (7, "the quotes of the line are unbalanced"),
        (9, "the quotes of the line are unbalanced"),
        (11, "the quotes of the line are unbalanced"),
    ]
    assert [json.loads(raw) for raw in batch.rejects["raw"]][2] == "\\udcff,1,1"


def test_quotes_that_mean_nothing_in_tab_separated_text_swallow_no_lines(tmp_path: Path) -> None:
    text = 'item_id\ttitle\n1\t"Heroes" they said\n2\t"Open\n3\tplain\n4\tclosed"\n5\t"a\tb"\n'
    batch = read(written(tmp_path / "a.tsv", text), "items")
    titles = ['"Heroes" they said', '"Open', "plain", 'closed"', "a\tb"]
    assert batch.rows["title"].to_list() == titles
    assert lines_of(batch) == [2, 3, 4, 5, 6]


def test_fields_of_ten_megabytes_are_read(tmp_path: Path) -> None:
    big = "x" * 10_000_000
    batch = read(written(tmp_path / "a.csv", f'item_id,title\n1,"{big}"\n2,b\n'), "items")
    assert batch.rows["title"].str.len_chars().to_list() == [10_000_000, 1]


@pytest.mark.parametrize("batch_rows", [1, 2, 7, 1_000])
def test_the_size_of_batches_and_blocks_changes_no_row(
    tmp_path: Path, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ['"a\nb",2,3', "x", '"open,1,2', "ä,ö,ü", ""]
    rows = [f"{n},{n},{n}" if n % 7 else odd[n // 7 % len(odd)] for n in range(100)]
    path = written(tmp_path / "a.csv", HEADER + "\n".join(rows))
    whole = read(path)
    monkeypatch.setattr("pwrank.sources.lines._BLOCK_CHARACTERS", 40)
    parts = read(path, batch_rows=batch_rows)
    assert parts.rows.equals(whole.rows)
    assert parts.rejects.equals(whole.rejects)


def test_other_encodings_are_read_as_configured(tmp_path: Path) -> None:
    text = "item_id,title\n1,Léon\n"
    path = written(tmp_path / "a.csv", text.encode("latin-1"))
    assert read(path, "items", encoding="latin-1").rows["title"].to_list() == ["Léon"]
    path = written(tmp_path / "b.csv", text.encode("utf-16"))
    assert read(path, "items", encoding="utf-16").rows["title"].to_list() == ["Léon"]
    with pytest.raises(SourceError, match="encoding"):
        read(path, "items")
    with pytest.raises(ConfigError, match="no such encoding"):
        read(path, "items", encoding="utf-99")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty file"),
        ("\n \n", "empty file"),
        ("user,item_id,timestamp\n", "no column 'user_id'.*'user'.*source.columns.user_id"),
        ("user_id,item_id,item_id,timestamp\n", "'item_id' stands twice"),
        ("user_id,item_id,event_time\n", "no column 'timestamp'.*'event_time'"),
        (b"\xff\xfe\x00\x01,,\n", "header cannot be read"),
        ('user_id,"item_id\n', "header cannot be read"),
    ],
)
def test_what_is_wrong_with_a_whole_file_is_said(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as told:
        read(written(tmp_path / "bad.csv", content))
    assert "bad.csv" in str(told.value)


@pytest.mark.parametrize("damage", ["cut", "flip", "plain"])
def test_damaged_gzip_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.csv.gz"
    good = gzip.compress((HEADER + "1,2,3\n" * 1000).encode())
    path.write_bytes(
        {"cut": good[:-20], "flip": good[:30] + b"xx" + good[32:], "plain": b"1,2"}[damage]
    )
    with pytest.raises(SourceError, match="gzip"):
        read(path)


def test_the_field_limit_is_ours() -> None:
    assert delimited_module.MAX_FIELD_CHARACTERS > 10 * 2**20
