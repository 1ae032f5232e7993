"""MovieLens in all its layouts."""

from __future__ import annotations

import contextlib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pwrank.config import SourceConfig
from pwrank.datasets import IdType, IdTypes
from pwrank.errors import InputError, SourceError
from pwrank.sources import (
    id_types,
    list_files,
    read_batches,
)
from tests.library.read_sources import fuzz, written


def movielens(folder: Path) -> tuple[IdTypes, pl.DataFrame, pl.DataFrame]:
    source = SourceConfig(kind="movielens", folder=folder)
    files = list_files(source)
    assert [file.table for file in files] == ["interactions", "items"]
    ratings, movies = (
        pl.concat([batch.rows for batch in read_batches(file, source)]) for file in files
    )
    return id_types(files, source), ratings, movies


def test_movielens_100k_is_read(tmp_path: Path) -> None:
    flags = "|".join(["0"] * 5 + ["1"] + ["0"] * 13)
    written(tmp_path / "u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    movies = f"242|Léon (1994)|01-Jan-1994||http://x|{flags}\n302|b||||{'|'.join(['0'] * 19)}\n"
    written(tmp_path / "u.item", movies.encode("latin-1"))
    ids, ratings, movies_read = movielens(tmp_path)
    assert ids == IdTypes(IdType.INT64, IdType.INT64)
    assert ratings.row(0) == ("196", "242", "3", "881250949", 1, "rating")
    assert movies_read.rows() == [("242", "Léon (1994)", "Comedy", 1), ("302", "b", "", 2)]
    written(
        tmp_path / "u.genre", "unknown|0\n" + "".join(f"G{n}|{n}\n" for n in range(1, 19)) + "\n"
    )
    assert movielens(tmp_path)[2]["category"].to_list() == ["G5", ""]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_movielens_1m_and_10m_are_read(tmp_path: Path, encoding: str) -> None:
    written(tmp_path / "ratings.dat", "1::122::5::838985046\n1::185::3.5::838983525\n::1::1::1\n")
    movies = "122::Léon: The :: Cut (1994)::Action|Drama\n185::b (1)::(no genres listed)\n"
    written(tmp_path / "movies.dat", movies.encode(encoding))
    ids, ratings, movies_read = movielens(tmp_path)
    assert ids == IdTypes(IdType.INT64, IdType.INT64)
    assert ratings["rating"].to_list() == ["5", "3.5", "1"]
    assert movies_read.rows() == [
        ("122", "Léon: The :: Cut (1994)", "Action|Drama", 1),
        ("185", "b (1)", "", 2),
    ]


def test_movietweetings_keeps_its_leading_zeros(tmp_path: Path) -> None:
    written(tmp_path / "ratings.dat", "1::0104257::7::1365029107\n")
    written(tmp_path / "movies.dat", "0104257::À l'ombre (1992)::Crime\n0000008::x (1894)::\n")
    ids, ratings, movies = movielens(tmp_path)
    assert ids == IdTypes(IdType.INT64, IdType.STRING)
    assert ratings["item_id"].to_list() == ["0104257"]
    assert movies["category"].to_list() == ["Crime", ""]


def test_movielens_csv_is_read(tmp_path: Path) -> None:
    written(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp\r\n1,1,4.0,964982703\r\n")
    written(tmp_path / "movies.csv", 'movieId,title,genres\r\n1,"Lion, The (1995)",A|B\r\n')
    ids, ratings, movies = movielens(tmp_path)
    assert ids == IdTypes(IdType.INT64, IdType.INT64)
    assert ratings.row(0, named=True) == {
        "user_id": "1",
        "item_id": "1",
        "rating": "4.0",
        "timestamp": "964982703",
        "source_line": 2,
        "event": "rating",
    }
    assert movies.row(0) == ("1", "Lion, The (1995)", "A|B", 2)


def test_a_folder_that_is_no_movielens_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"u\.data.*ratings\.dat.*ratings\.csv"):
        list_files(SourceConfig(kind="movielens", folder=tmp_path))
    written(tmp_path / "inner" / "ratings.csv", "")
    with pytest.raises(SourceError, match=r"did you mean.*inner"):
        list_files(SourceConfig(kind="movielens", folder=tmp_path))
    written(tmp_path / "ratings.csv", "")
    (tmp_path / "movies.csv").mkdir()
    with pytest.raises(SourceError, match=r"no movies\.csv beside ratings\.csv"):
        list_files(SourceConfig(kind="movielens", folder=tmp_path))
    with pytest.raises(SourceError, match="no such folder"):
        list_files(SourceConfig(kind="movielens", folder=tmp_path / "nowhere"))


@fuzz
@given(content=st.binary(max_size=80) | st.text("1:|\t\n,é0", max_size=80).map(str.encode))
def test_any_bytes_in_a_movielens_folder_end_well(content: bytes, tmp_path: Path) -> None:
    for ratings, movies in (("u.data", "u.item"), ("ratings.dat", "movies.dat")):
        folder = tmp_path / ratings
        written(folder / ratings, content)
        written(folder / movies, content)
        with contextlib.suppress(InputError):
            movielens(folder)
