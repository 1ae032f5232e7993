"""Text files without a header, whose columns `[source.header]` names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pwrank.config import CleanConfig, Config, SourceConfig
from pwrank.datasets import IdTypes
from pwrank.errors import ConfigError, SourceError
from pwrank.forget import person_of
from pwrank.forgetting.brought_files import clear_file
from pwrank.landing.refusing import refuse_bad_file
from pwrank.planning.source_check import check_source
from pwrank.sources import list_files, read_batches
from pwrank.sources.lines import WRONG_WIDTH
from pwrank.store import Store
from pwrank.user_files import read_user_file
from tests.library.read_sources import file_of, lines_of, read, tables, written

NAMED = {"interactions": ["user_id", "", "item_id", "timestamp"]}


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_first_line_is_a_row(tmp_path: Path, separator: str) -> None:
    text = "\n7,x y,007,5\n8,,9,6\n".replace(",", separator)
    batch = read(written(tmp_path / "a.dat", text), header=NAMED)
    assert lines_of(batch) == [2, 3]
    assert batch.rows["user_id"].to_list() == ["7", "8"]
    assert batch.rows["item_id"].to_list() == ["007", "9"]
    assert batch.rows["column_2"].to_list() == ["x y", ""]


def test_it_may_be_separated_by_several_characters(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dat", "1::a::2::3\n")
    batch = read(path, header=NAMED, separator="::")
    assert batch.rows.select("user_id", "item_id", "timestamp").rows() == [("1", "2", "3")]


def test_quotes_that_mean_nothing_are_known_by_the_number_of_names(tmp_path: Path) -> None:
    text = 'n1\t"Love\tnews\nn2\tMore "love"\tsports\nn3\tlast\n'
    names = {"items": ["item_id", "title", "category"]}
    batch = read(written(tmp_path / "news.tsv", text), "items", header=names)
    assert batch.rows["title"].to_list() == ['"Love', 'More "love"']
    assert batch.rejects["reason"].to_list() == ["the line has the wrong number of fields"]


def test_other_tables_keep_their_header(tmp_path: Path) -> None:
    path = written(tmp_path / "items.csv", "item_id,title\n1,a\n")
    assert lines_of(read(path, "items", header=NAMED)) == [2]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_has_no_rows(tmp_path: Path, text: str) -> None:
    batch = read(written(tmp_path / "a.csv", text), header=NAMED)
    assert batch.rows.is_empty()
    assert batch.rejects.is_empty()
    assert batch.rows.columns == ["user_id", "column_2", "item_id", "timestamp", "source_line"]


@pytest.mark.parametrize("second", ['""', "note"])
def test_a_header_that_is_there_is_refused(tmp_path: Path, second: str) -> None:
    path = written(tmp_path / "a.csv", f"User_ID,{second},item_id,timestamp\n1,a,2,3\n")
    with pytest.raises(SourceError, match=r"first line is the header .*source\.header\.inter"):
        read(path, header=NAMED)


def test_names_must_hold_what_the_table_needs_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "1,2,3\n")
    with pytest.raises(SourceError, match="no column 'item_id'"):
        read(path, header={"interactions": ["user_id", "item", "timestamp"]})
    with pytest.raises(SourceError, match=r"gives 2 names, the first line has 3 fields"):
        read(path, header={"interactions": ["user_id", "timestamp"]})
    with pytest.raises(SourceError, match="'user_id' stands twice"):
        read(path, header={"interactions": ["user_id", "user_id", "item_id"]})


def test_a_missing_header_is_told_with_the_way_out(tmp_path: Path) -> None:
    for line in ("17,3,5.0\n", "U1,N0,today\n", 'U1,N0,"today\n'):
        path = written(tmp_path / "a.csv", line)
        with pytest.raises(SourceError, match=r"name its columns in source\.header\.interactions"):
            list(read_batches(file_of(path), SourceConfig(), batch_rows=10))
    path = written(tmp_path / "a.csv", "user,item_id,timestamp\n")
    with pytest.raises(SourceError, match=r"set source\.columns\.user_id$"):
        list(read_batches(file_of(path), SourceConfig(), batch_rows=10))


def _config(folder: Path) -> Config:
    source = {"interactions": folder / "a.csv", "items": folder / "b.csv", "header": NAMED}
    return Config(lake=folder / "lake", source=source)


@pytest.mark.parametrize("first", ["", "user_id,note,item_id,timestamp\n", "item_id,note,user\n"])
def test_a_brought_file_has_a_header_or_is_like_the_source(tmp_path: Path, first: str) -> None:
    rows = "9,,7\n3,,8\n" if first.startswith("item") else "7,,9,1\n8,,3,2\n"
    brought = read_user_file(
        written(tmp_path / "c.csv", first + rows), _config(tmp_path), IdTypes()
    )
    assert brought.user_id.to_list() == ["7", "8"]
    assert brought.item_id.to_list() == ["9", "3"]


def test_a_brought_file_that_is_neither_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "c.csv", "7,9\n8,3\n")
    with pytest.raises(SourceError, match=r"has 2 columns, source\.header\.interactions names 4"):
        read_user_file(path, _config(tmp_path), IdTypes())


@pytest.mark.parametrize("first", ["", "user_id,note,item_id,timestamp\n"])
def test_a_person_leaves_such_a_file_first_line_and_all(tmp_path: Path, first: str) -> None:
    path = written(tmp_path / "c.csv", first + "7,,9,1\n8,,7,2\n7,,3,3\n")
    person = person_of(Store(tmp_path / "lake"), "7", "ab" * 16)
    assert clear_file(path, person, _config(tmp_path).source) == 2
    assert path.read_text(encoding="utf-8") == first + "8,,7,2\n"


def test_a_brought_file_is_read_as_a_source_is(tmp_path: Path) -> None:
    """Quotes in tab separated text may mean nothing; a line that is no row is told."""
    text = 'user_id\titem_id\tsize\n7\t9\t5"10\n8\t\t"a" b\n'
    config = Config(lake=tmp_path / "lake", source=SourceConfig())
    brought = read_user_file(written(tmp_path / "c.tsv", text), config, IdTypes())
    assert brought.frame.rows() == [("7", "9", '5"10'), ("8", None, '"a" b')]
    assert brought.without_id.to_list() == [False, True]
    path = written(tmp_path / "d.tsv", text + "8\t9\n")
    with pytest.raises(SourceError, match="line 4: the line has the wrong number of fields"):
        read_user_file(path, config, IdTypes())
    with pytest.raises(SourceError, match="empty file"):
        read_user_file(written(tmp_path / "e.tsv", " \n"), _config(tmp_path), IdTypes())


def test_too_few_names_are_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"check source\.separator and the names in \[source\.h"):
        refuse_bad_file(tmp_path / "a.csv", 9, {WRONG_WIDTH: 9}, CleanConfig())


@pytest.mark.parametrize("first", ['7,"x, y",9,1\n', "\n7,,9,1\n", '7,"two\nlines",9,1\n'])
def test_the_width_of_a_brought_file_is_that_of_its_first_record(
    tmp_path: Path, first: str
) -> None:
    """Separators and line ends in quotes are no columns and no rows; a blank line is neither."""
    path = written(tmp_path / "c.csv", first + "8,,3,2\n")
    brought = read_user_file(path, _config(tmp_path), IdTypes())
    assert brought.frame.select("user_id", "item_id").rows() == [("7", "9"), ("8", "3")]
    person = person_of(Store(tmp_path / "lake"), "8", "ab" * 16)
    assert clear_file(path, person, _config(tmp_path).source) == 1
    assert path.read_text(encoding="utf-8") == first


def test_columns_that_nobody_needs_are_not_told_as_unused(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "7,x,9,2026-01-01\n")
    written(tmp_path / "b.csv", "item_id,title,shelf\n9,A kettle,3\n")
    interactions, items = check_source(
        _config(tmp_path), as_of=date(2026, 1, 2), now=datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert interactions.unused == ()
    assert items.unused == ("shelf",)


def test_names_that_no_file_needs_are_refused(tmp_path: Path) -> None:
    """They would change nothing, and whoever wrote them would not know."""
    for name in ("a.csv", "a.jsonl", "items.csv"):
        written(tmp_path / name, "7,x,9,1\n")
    told: dict[str, Any] = {"header": NAMED}
    with pytest.raises(ConfigError, match=r"header\.interactions: json files name their columns"):
        list_files(tables(tmp_path, "a.jsonl", **told))
    with pytest.raises(ConfigError, match=r"source\.header\.users: no file"):
        list_files(tables(tmp_path, "a.csv", header={"users": ["user_id"]}))
    with pytest.raises(ConfigError, match="movielens files need none"):
        list_files(SourceConfig(kind="movielens", folder=tmp_path, **told))
    mixed = list_files(tables(tmp_path, "a.*", **told))
    assert [file.name for file in mixed] == ["a.csv", "a.jsonl", "items.csv"]
