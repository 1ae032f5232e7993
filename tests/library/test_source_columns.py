"""Which column of a source plays which role, and what is said of one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pwrank.errors import SourceError
from pwrank.sources import (
    SourceFile,
    column_roles,
)
from tests.library.read_sources import HEADER, file_of, read, tables, written


def test_a_catalogue_without_text_names_the_columns_it_has(tmp_path: Path) -> None:
    path = written(tmp_path / "items.csv", "item_id,titel,price\n")
    with pytest.raises(SourceError, match=r"without text.*'titel'.*item_id, titel, price"):
        read(path, "items")


def test_a_column_that_is_named_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", HEADER)
    with pytest.raises(SourceError, match="no column 'stars'"):
        read(path, columns={"rating": "stars"})
    assert read(path).rows.height == 0
    path = written(tmp_path / "b.csv", "user_id,item_id,rating\n1,2,3\n")
    with pytest.raises(SourceError, match=r"no column 'stars'; .*source.columns.rating"):
        read(path, columns={"rating": "stars"})


@pytest.mark.parametrize("first", ["1,N2,5", "U1,N2,11/9/2019 12:15:05 AM", "U1,N2,2019-11-09"])
def test_a_file_without_a_header_is_told_so(tmp_path: Path, first: str) -> None:
    path = written(tmp_path / "a.csv", f"{first}\n")
    with pytest.raises(
        SourceError, match=r"no column 'user_id'; .*user_id, or name its columns in"
    ):
        read(path)


def test_interactions_without_times_are_taken_if_nothing_looks_like_a_time(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "user_id,item_id\n1,2\n")
    assert read(path).rows.height == 1
    path = written(tmp_path / "b.csv", "user_id,item_id,date_added\n1,2,x\n")
    with pytest.raises(SourceError, match="'date_added'"):
        read(path)
    assert read(path, columns={"timestamp": ""}).rows.height == 1


def test_a_column_may_differ_in_upper_and_lower_case_unless_it_was_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "User_ID,item_id,TIMESTAMP,Rating\n1,2,3,4\n")
    file = SourceFile("interactions", path, path.name)
    header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    roles = column_roles(header, file, tables(tmp_path, "a.csv", "items.jsonl"))
    assert roles == {
        "user_id": "User_ID",
        "item_id": "item_id",
        "timestamp": "TIMESTAMP",
        "rating": "Rating",
    }


@pytest.mark.parametrize("role", ["timestamp", "rating", "event", "weight"])
def test_a_column_of_interactions_that_is_named_nothing_is_none(tmp_path: Path, role: str) -> None:
    header = ["user_id", "item_id", "timestamp", "rating", "event", "weight"]
    source = tables(tmp_path, "a.csv", columns={role: ""})
    roles = column_roles(header, file_of(tmp_path / "a.csv"), source)
    assert roles == {name: name for name in header if name != role}


@pytest.mark.parametrize("role", ["title", "text", "category", "available", "updated_at"])
def test_a_column_of_items_that_is_named_nothing_is_none(tmp_path: Path, role: str) -> None:
    header = ["item_id", "title", "text", "category", "available", "updated_at", ""]
    source = tables(tmp_path, "a.csv", columns={role: ""})
    roles = column_roles(header, file_of(tmp_path / "items.csv", "items"), source)
    assert roles == {name: name for name in header if name not in {role, ""}}


def test_a_catalogue_without_its_only_text_is_told_which_that_is(tmp_path: Path) -> None:
    source = tables(tmp_path, "a.csv", columns={"text": ""})
    with pytest.raises(SourceError, match="without text: no column 'title'; found: item_id"):
        column_roles(["item_id", "price"], file_of(tmp_path / "items.csv", "items"), source)


def test_a_column_that_could_be_the_time_is_never_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "user_id,item_id,purchased\n1,2,2026-01-01\n")
    with pytest.raises(SourceError, match=r'set source\.columns\.timestamp, to "" if there are no'):
        read(path)
