"""Peculiarities of public data sets: Book-Crossing, Foursquare, Last.FM."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pwrank.config import Config
from pwrank.datasets import IdTypes
from pwrank.errors import SourceError
from pwrank.landing.land import typed_batch
from pwrank.planning.source_check import check_source
from pwrank.planning.table_check import TableCheck
from tests.library.read_sources import file_of, lines_of, read, written

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BOOKS = '"ISBN";"Book-Title";"Book-Author";"Year Published"\n'


def books(folder: Path, ratings: str, items: str, **source: Any) -> Config:
    written(folder / "ratings.csv", '"User-ID";"ISBN";"Book-Rating"\n' + ratings)
    written(folder / "books.csv", (BOOKS + items).encode("latin-1"))
    columns = {"user_id": "User-ID", "item_id": "ISBN", "rating": "Book-Rating"}
    files = {"interactions": folder / "ratings.csv", "items": folder / "books.csv"}
    return Config(
        lake=folder / "lake",
        source={**files, "columns": columns | {"title": "Book-Title"}, **source},
        encoder={"text_template": "{title}, by {Book-Author}. {Year Published}"},
    )


def look(config: Config) -> dict[str, TableCheck]:
    found = check_source(config, as_of=date(2026, 1, 2), now=NOW)
    return {told.table: told for told in found}


def typed(path: Path, config: Config) -> tuple[pl.DataFrame, pl.DataFrame]:
    source = {"columns": config.source.columns, "unrated": config.source.unrated}
    return typed_batch(read(path, **source), file_of(path), config, ids=IdTypes(), ingested_at=NOW)


def test_columns_whose_names_are_no_words_can_stand_in_the_text(tmp_path: Path) -> None:
    config = books(tmp_path, '"1";"a";"5"\n', '"a";"Emma";"Jane Austen";"1815"\n')
    told = look(config)["items"]
    assert told.text == "Emma, by Jane Austen. 1815"
    assert not told.unused


@pytest.mark.parametrize("template", ["{title} {}", "{title} {", "}{title}"])
def test_a_brace_that_names_no_column_is_refused(tiny_world, template: str) -> None:
    with pytest.raises(SourceError, match="has a brace that names no column"):
        tiny_world.ingest(encoder={"text_template": template})


def test_a_rating_of_zero_may_mean_none(tmp_path: Path) -> None:
    rows = "".join(f'"{n}";"a";"{n % 3 * 4}"\n' for n in range(9))
    plain = books(tmp_path, rows, '"a";"Emma";"";""\n')
    assert look(plain)["interactions"].zero_ratings == 3
    config = books(tmp_path, rows, '"a";"Emma";"";""\n', unrated=0)
    assert look(config)["interactions"].zero_ratings == 0
    rated, rejects = typed(tmp_path / "ratings.csv", config)
    assert rated["rating"].to_list() == [None, 4, 8] * 3
    assert rejects.is_empty()


@pytest.mark.parametrize("ratings", [[0.5, 0, 5], [0, 0, 0], [1, 2, 3], [0, *[3] * 99]])
def test_zeros_that_are_ratings_are_not_told_of(tmp_path: Path, ratings: list[float]) -> None:
    rows = "".join(f'"{n}";"a";"{rating}"\n' for n, rating in enumerate(ratings))
    assert look(books(tmp_path, rows, '"a";"Emma";"";""\n'))["interactions"].zero_ratings == 0


def test_quotes_may_be_escaped_by_a_backslash(tmp_path: Path) -> None:
    text = (
        'item_id;title;note\n1;"say \\"hi\\"; then ""go""";a\n2;"C:\\";"b"\n'
        '3;"open \\" only;c\n4;"one \\"too";"many";x\n5;"ends \\"so\\"";"d"\n'
    )
    batch = read(written(tmp_path / "a.csv", text), "items")
    assert batch.rows["title"].to_list() == ['say "hi"; then "go"', "C:\\", 'ends "so"']
    assert lines_of(batch) == [2, 3, 6]
    assert set(batch.rejects["reason"]) == {"the quotes of the line are unbalanced"}


def test_a_catalogue_in_another_encoding_is_refused_rather_than_left_without_accents(
    tmp_path: Path,
) -> None:
    items = "".join(f'"{n}";"Café {n}";"";""\n' for n in range(10))
    plain = "".join(f'"p{n}";"Tea {n}";"";""\n' for n in range(900))
    ratings = '"1";"1";"5"\n'
    (refusal,) = look(books(tmp_path, ratings, items + plain))["items"].refusals
    assert "10 lines cannot be decoded as utf-8, and 0 beyond ASCII can" in refusal
    assert 'source.encoding, for example to "latin-1"' in refusal
    found = look(books(tmp_path, ratings, items + plain, encoding="latin-1"))["items"]
    assert not found.refusals
    assert found.usable == 910


@pytest.mark.parametrize(("torn", "sound", "plain"), [(9, 0, 9), (10, 0, 991), (10, 10, 9)])
def test_damage_is_set_aside_line_by_line(
    tmp_path: Path, torn: int, sound: int, plain: int
) -> None:
    rows = [*[b"1,\xe9,5"] * torn, *["1,é,5".encode()] * sound, *[b"1,2,5"] * plain]
    path = written(tmp_path / "a.csv", b"user_id,item_id,timestamp\n" + b"\n".join(rows))
    kept, rejects = typed(path, Config(lake=tmp_path / "lake", source={}))
    assert (kept.height, rejects.height) == (sound + plain, torn)


HEADER = ["user_id", "item_id", "title", "timestamp"]


@pytest.mark.parametrize(
    "header",
    [
        {"interactions": HEADER},
        {"interactions": HEADER, "items": HEADER},
        {"interactions": ["user_id", "item_id", "", "timestamp"], "items": ["", *HEADER[1:3], ""]},
    ],
)
def test_a_file_may_be_log_and_catalogue_with_one_header_or_two(
    tmp_path: Path, header: dict[str, list[str]]
) -> None:
    path = written(tmp_path / "a.tsv", "7\tv1\tBar\t5\n8\tv2\tCafe\t6\n")
    source = {"interactions": path, "items": path, "header": header}
    found = look(Config(lake=tmp_path / "lake", source=source))
    assert (found["interactions"].usable, found["items"].usable) == (2, 2)
    assert found["items"].text == "Bar"
    assert found["interactions"].span == ("1970-01-01T00:00:05+00:00", "1970-01-01T00:00:06+00:00")
    assert found["interactions"].unused == found["items"].unused == ()


def test_a_weight_that_is_not_to_be_read_is_no_time(tmp_path: Path) -> None:
    written(tmp_path / "plays.csv", "user_id,item_id,weight\n1,2,900\n")
    written(tmp_path / "artists.csv", "item_id,title\n2,Queen\n")
    files = {"interactions": tmp_path / "plays.csv", "items": tmp_path / "artists.csv"}
    config = Config(lake=tmp_path / "lake", source={**files, "columns": {"weight": ""}})
    told = look(config)["interactions"]
    assert (told.has_times, told.span, told.unused) == (False, None, ("weight",))
    assert told.example["weight"] == 1.0
