"""Sources: any file becomes rows with their physical line, or a clear word about why not."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pwrank.config import SourceConfig
from pwrank.datasets import IdType, IdTypes
from pwrank.errors import ConfigError, InputError, SourceError
from pwrank.sources import (
    RawBatch,
    SourceFile,
    Table,
    column_roles,
    id_types,
    list_files,
    read_batches,
)
from pwrank.sources import delimited as delimited_module

fuzz = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HEADER = "user_id,item_id,timestamp\n"


def tables(folder: Path, interactions: str, items: str = "items.csv", **keys: Any) -> SourceConfig:
    return SourceConfig(interactions=folder / interactions, items=folder / items, **keys)


def file_of(path: Path, table: Table = "interactions") -> SourceFile:
    return SourceFile(table, path, path.name)


def read(
    path: Path, table: Table = "interactions", batch_rows: int = 200_000, **keys: Any
) -> RawBatch:
    source = SourceConfig(**keys)
    batches = list(read_batches(file_of(path, table), source, batch_rows=batch_rows))
    assert batches
    return RawBatch(
        pl.concat([batch.rows for batch in batches], how="diagonal_relaxed"),
        pl.concat([batch.rejects for batch in batches]),
    )


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def lines_of(batch: RawBatch) -> list[int]:
    return batch.rows["source_line"].to_list()


# --- which files ---------------------------------------------------------------------------


def test_a_folder_gives_its_data_files_by_name_and_skips_hidden_and_temporary_ones(
    tmp_path: Path,
) -> None:
    names = [
        "b.csv",
        "a.csv.gz",
        "deep/c.PARQUET",
        "d.jsonl",
        ".e.csv",
        "_f.csv",
        "_tmp/g.csv",
        "README.md",
    ]
    for name in names:
        written(tmp_path / "drops" / name, HEADER)
    written(tmp_path / "items.csv", "item_id,title\n")
    files = list_files(tables(tmp_path, "drops"))
    assert [(file.table, file.name) for file in files] == [
        ("interactions", "a.csv.gz"),
        ("interactions", "b.csv"),
        ("interactions", "d.jsonl"),
        ("interactions", "deep/c.PARQUET"),
        ("items", "items.csv"),
    ]


def test_a_glob_gives_its_matches_named_from_the_folder_before_the_first_wildcard(
    tmp_path: Path,
) -> None:
    for name in ("2020/a.csv", "2021/b.csv", "2021/_c.csv", "x.csv"):
        written(tmp_path / "drops" / name, HEADER)
    written(tmp_path / "items.csv", "item_id,title\n")
    files = list_files(tables(tmp_path, "drops/20*/*.csv"))
    assert [file.name for file in files] == ["2020/a.csv", "2021/b.csv", "items.csv"]
    written(tmp_path / "odd[1].csv", HEADER)
    assert list_files(tables(tmp_path, "odd[1].csv"))[0].name == "odd[1].csv"


def test_a_missing_path_is_told_with_its_nearest_neighbour(tmp_path: Path) -> None:
    written(tmp_path / "interactions.csv", HEADER)
    with pytest.raises(SourceError, match=r"interaction\.csv: no such file.*'interactions\.csv'"):
        list_files(tables(tmp_path, "interaction.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no \.csv.* in it"):
        list_files(tables(tmp_path, "empty"))
    with pytest.raises(SourceError, match="no file matches"):
        list_files(tables(tmp_path, "*.parquet"))


# --- delimited text ------------------------------------------------------------------------


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


def test_a_catalogue_without_text_names_the_columns_it_has(tmp_path: Path) -> None:
    path = written(tmp_path / "items.csv", "item_id,titel,price\n")
    with pytest.raises(SourceError, match=r"without text.*'titel'.*item_id, titel, price"):
        read(path, "items")


def test_a_column_that_is_named_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", HEADER)
    with pytest.raises(SourceError, match="no column 'stars'"):
        read(path, columns={"rating": "stars"})
    assert read(path).rows.height == 0


def test_interactions_without_times_are_taken_if_nothing_looks_like_a_time(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "user_id,item_id\n1,2\n")
    assert read(path).rows.height == 1
    path = written(tmp_path / "b.csv", "user_id,item_id,date_added\n1,2,x\n")
    with pytest.raises(SourceError, match="'date_added'"):
        read(path)
    assert read(path, columns={"timestamp": ""}).rows.height == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "plain"])
def test_damaged_gzip_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.csv.gz"
    good = gzip.compress((HEADER + "1,2,3\n" * 1000).encode())
    path.write_bytes(
        {"cut": good[:-20], "flip": good[:30] + b"xx" + good[32:], "plain": b"1,2"}[damage]
    )
    with pytest.raises(SourceError, match="gzip"):
        read(path)


# --- jsonl ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson"])
def test_json_lines_keep_their_types_and_set_aside_what_is_no_object(
    tmp_path: Path, name: str
) -> None:
    text = (
        b'{"user_id": 1, "item_id": "a", "timestamp": 5, "tags": ["x", "y"]}\n\n'
        b'{"user_id": 2, "item_id": "b"}\nnot json\n[1]\n{"user_id": "\\ud800"}\n{"a": "\xff"}\n'
    )
    batch = read(written(tmp_path / name, text))
    assert batch.rows.rows() == [(1, "a", 5, "x|y", 1), (2, "b", None, None, 3)]
    assert batch.rejects.select("source_line", "reason").rows() == [
        (4, "the line is not valid JSON"),
        (5, "the line is not a JSON object"),
        (6, "the line cannot be decoded"),
        (7, "the line cannot be decoded"),
    ]


def test_keys_may_appear_and_vanish_between_the_batches_of_json_lines(tmp_path: Path) -> None:
    text = '{"user_id":1,"item_id":1,"timestamp":1}\n{"user_id":2,"item_id":2,"rating":3}\n'
    batch = read(written(tmp_path / "a.jsonl", text), batch_rows=1)
    assert batch.rows["rating"].to_list() == [None, 3]
    assert batch.rows["timestamp"].to_list() == [1, None]


def test_a_json_array_is_told_to_be_no_json_lines(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no JSON object"):
        read(
            written(
                tmp_path / "a.json",
                '[\n{"user_id": 1}\n]\n'.replace("{", "[").replace("}", "]").replace(": ", ","),
            )
        )
    with pytest.raises(SourceError, match="empty file"):
        read(written(tmp_path / "b.jsonl", "\n"))


# --- parquet -------------------------------------------------------------------------------


def test_parquet_is_read_with_its_types_and_row_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user_id": pl.Series([1, 2, 3], dtype=pl.Int32),
            "item_id": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "timestamp": [date(2020, 1, 1)] * 3,
            "vector": [[1.0]] * 3,
            "tags": [["x", "y"], [], None],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet", batch_rows=2).rows
    assert rows.columns == ["user_id", "item_id", "timestamp", "tags", "source_line"]
    assert rows["source_line"].to_list() == [1, 2, 3]
    assert rows["tags"].to_list() == ["x|y", "", None]
    frame.clear().write_parquet(tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet").rows.height == 0


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -9, -1])
def test_what_is_not_parquet_is_told(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [1]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"a\.parquet"):
        read(path)


# --- id types ------------------------------------------------------------------------------


def test_integer_ids_stay_integers_only_where_every_file_has_them(tmp_path: Path) -> None:
    numbers = pl.DataFrame({"user_id": [1.0, None], "item_id": [1, 2], "timestamp": [1, 2]})
    numbers.write_parquet(tmp_path / "a.parquet")
    written(tmp_path / "b.jsonl", '{"user_id": 1, "item_id": 2, "timestamp": 3}\n')
    written(tmp_path / "items.csv", "item_id,title\n")
    written(tmp_path / "items.jsonl", '{"item_id": 1, "title": "a"}\n')
    for name in ("a.parquet", "b.jsonl", "*.*[tl]"):
        source = tables(tmp_path, name, "items.jsonl", columns={"timestamp": ""})
        found = id_types([f for f in list_files(source) if f.name != "items.jsonl"], source)
        assert found == IdTypes(IdType.INT64, IdType.INT64) or name == "*.*[tl]"
    source = tables(tmp_path, "a.parquet", "items.csv")
    assert id_types(list_files(source), source) == IdTypes(IdType.INT64, IdType.STRING)


# --- movielens -----------------------------------------------------------------------------


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


# --- properties ----------------------------------------------------------------------------

cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
row = st.tuples(cell, cell, cell, cell)


@fuzz
@given(rows=st.lists(row, max_size=12), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_any_cells_written_as_csv_come_back_with_their_line(
    rows: list[tuple[str, ...]], quoting: Any, tmp_path: Path
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(["user_id", "item_id", "timestamp", "rating"])
    starts = []
    for values in rows:
        # Physical lines end at \n, \r or \r\n, whichever comes.
        starts.append(len(io.StringIO(text.getvalue(), newline="").readlines()) + 1)
        writer.writerow(values)
    batch = read(written(tmp_path / "a.csv", text.getvalue()))
    assert batch.rejects.height == 0
    assert batch.rows.drop("source_line").rows() == rows
    assert lines_of(batch) == starts


@fuzz
@given(
    content=st.binary(max_size=200)
    | st.text('",\n\r\t;|a1\\ \0é{}[]:', max_size=200).map(lambda text: text.encode()),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".dat"]),
    with_header=st.booleans(),
    batch_rows=st.sampled_from([1, 3, 1_000]),
)
def test_any_bytes_give_rows_or_rejects_or_a_source_error(
    content: bytes,
    suffix: str,
    with_header: bool,  # noqa: FBT001
    batch_rows: int,
    tmp_path: Path,
) -> None:
    header = b"" if suffix == ".parquet" or not with_header else HEADER.encode()
    path = tmp_path / f"a{suffix}"
    written(path, header + content)
    with contextlib.suppress(SourceError):
        batch = read(path, batch_rows=batch_rows)
        seen = sorted(lines_of(batch) + batch.rejects["source_line"].to_list())
        assert len(set(seen)) == len(seen)
        if suffix in (".csv", ".jsonl") and b'"' not in content:
            text = (header + content).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
            lines = io.StringIO(text, newline="").readlines()
            kept = [
                n
                for n, line in enumerate(lines, 1)
                if line.strip("\r\n") and (n > 1 or suffix == ".jsonl")
            ]
            blank = {n for n in kept if not lines[n - 1].strip()}
            assert set(kept) - blank <= set(seen) or not with_header


@fuzz
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_parquet_file_with_one_wrong_byte_never_ends_in_a_traceback(
    position: int, value: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2], "timestamp": [1, 2]}).write_parquet(
        path
    )
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    path.write_bytes(content)
    with contextlib.suppress(SourceError):
        read(path)


@fuzz
@given(content=st.binary(max_size=80) | st.text("1:|\t\n,é0", max_size=80).map(str.encode))
def test_any_bytes_in_a_movielens_folder_end_well(content: bytes, tmp_path: Path) -> None:
    for ratings, movies in (("u.data", "u.item"), ("ratings.dat", "movies.dat")):
        folder = tmp_path / ratings
        written(folder / ratings, content)
        written(folder / movies, content)
        with contextlib.suppress(InputError):
            movielens(folder)


def test_the_field_limit_is_ours() -> None:
    assert delimited_module.MAX_FIELD_CHARACTERS > 10 * 2**20


# --- real data -----------------------------------------------------------------------------


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("PWRANK_DATA")
    if not folder:
        pytest.skip("PWRANK_DATA is not set: no real data here")
    return Path(folder).resolve()


def test_a_day_of_online_retail_is_read_as_the_csv_module_reads_it(real_data: Path) -> None:
    path = real_data / "online-retail" / "by-day" / "2010-12-01.csv"
    columns = {"user_id": "CustomerID", "item_id": "StockCode", "timestamp": "InvoiceDate"}
    batch = read(path, columns=columns)
    with path.open(newline="", encoding="utf-8") as text:
        expected = list(csv.reader(text))[1:]
    assert [list(values) for values in batch.rows.drop("source_line").rows()] == expected
    assert batch.rejects.height == 0


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
