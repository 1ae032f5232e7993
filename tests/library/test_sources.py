"""Sources: any file becomes rows with their physical line, or a clear word about why not."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pwrank.datasets import IdType, IdTypes
from pwrank.errors import SourceError
from pwrank.sources import (
    SourceFile,
    id_types,
    list_files,
)
from tests.library.read_sources import HEADER, fuzz, lines_of, read, tables, written

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
        (6, "the line holds half of an escaped character"),
        (7, "the line cannot be decoded"),
    ]


def test_a_nested_id_in_json_lines_is_set_aside(tmp_path: Path) -> None:
    text = (
        '{"user_id": {"a": 1}, "item_id": "x", "timestamp": 1}\n[1]\n'
        '{"user_id": "u", "item_id": "y", "timestamp": 1}\n'
        '{"user_id": "v", "item_id": ["z"], "timestamp": 1}\n'
    )
    batch = read(written(tmp_path / "a.jsonl", text.encode()))
    assert batch.rows.rows() == [("u", "y", 1, 3)]
    assert batch.rejects.select("source_line", "reason").rows() == [
        (1, "an id is a JSON object or list"),
        (2, "the line is not a JSON object"),
        (4, "an id is a JSON object or list"),
    ]
    assert "item_id" in batch.rejects["raw"][0]


def test_lists_in_json_lines_are_names_and_lists_of_lists_paths_of_them(tmp_path: Path) -> None:
    paths = ('["x", "y"]', '[["x", "y"], ["x", "z"]]', '[["x"], {"a": 1}]', "[]", "[[1]]")
    text = "".join(
        f'{{"user_id": "u", "item_id": "i", "timestamp": 1, "where": {path}}}\n' for path in paths
    )
    rows = read(written(tmp_path / "a.jsonl", text)).rows
    assert rows["where"].to_list() == ["x|y", "x|y|z", '[["x"], {"a": 1}]', "", "[[1]]"]


def test_keys_may_appear_and_vanish_between_the_batches_of_json_lines(tmp_path: Path) -> None:
    text = '{"user_id":1,"item_id":1,"timestamp":1}\n{"user_id":2,"item_id":2,"rating":3}\n'
    batch = read(written(tmp_path / "a.jsonl", text), batch_rows=1)
    assert batch.rows["rating"].to_list() == [None, 3]
    assert batch.rows["timestamp"].to_list() == [1, None]


@pytest.mark.parametrize("content", ['[{"user_id": 1}]', '[\n{"user_id": 1},\n{"user_id": 2},\n]'])
def test_a_json_array_is_told_what_to_make_of_it(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceError, match=r"no JSON object, one a line.*make lines of an array"):
        read(written(tmp_path / "a.json", content))


@pytest.mark.parametrize("content", ["", "\n", "\ufeff"])
def test_json_lines_of_no_line_are_a_file_without_rows(tmp_path: Path, content: str) -> None:
    written(tmp_path / "b.jsonl", content)
    batch = read(tmp_path / "b.jsonl")
    assert batch.rows.height == batch.rejects.height == 0
    assert {"user_id", "item_id", "timestamp", "source_line"} <= set(batch.rows.columns)
    written(tmp_path / "a.jsonl", '{"user_id": 1, "item_id": 7, "timestamp": 3}\n')
    files = [SourceFile("interactions", tmp_path / name, name) for name in ("a.jsonl", "b.jsonl")]
    assert id_types(files, tables(tmp_path, "a.jsonl")) == IdTypes(IdType.INT64, IdType.INT64)


# --- parquet -------------------------------------------------------------------------------


def test_parquet_is_read_with_its_types_and_row_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user_id": pl.Series([1, 2, 3], dtype=pl.Int32),
            "item_id": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "timestamp": [date(2020, 1, 1)] * 3,
            "vector": [[1.0]] * 3,
            "tags": [["x", "y"], [], None],
            "where": [[["x", "y"], ["x", "z"]], [[], None], None],
            "deep": [[[["x"]]]] * 3,
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet", batch_rows=2).rows
    told = ["user_id", "item_id", "timestamp", "tags", "where", "source_line"]
    assert rows.columns == told
    assert rows["source_line"].to_list() == [1, 2, 3]
    assert rows["tags"].to_list() == ["x|y", "", None]
    assert rows["where"].to_list() == ["x|y|z", "", None]
    frame.clear().write_parquet(tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet").rows.height == 0


def test_bytes_in_parquet_are_read_as_text(tmp_path: Path) -> None:
    text = {
        "user_id": ["u1", "ü", None],
        "item_id": ["a", "b", "c"],
        "timestamp": ["2024-01-02"] * 3,
    }
    table = pa.table({name: pa.array(values, pa.string()) for name, values in text.items()})
    for number, kind in enumerate((pa.binary(), pa.large_binary())):
        spelled = table.cast(pa.schema([(name, kind) for name in text]))
        spelled = spelled.set_column(1, "item_id", spelled["item_id"].dictionary_encode())
        pq.write_table(spelled, tmp_path / f"{number}.parquet")
        assert (
            read(tmp_path / f"{number}.parquet").rows.drop("source_line").to_dict(as_series=False)
            == text
        )


def test_bytes_that_are_no_text_break_their_row_where_they_are_needed(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user_id": pa.array([b"u", b"\xff\xfe", b"w"]),
            "item_id": pa.array(["a", "b", "c"]),
            "timestamp": pa.array(["2024-01-02"] * 3),
            "picture": pa.array([b"\x89PNG", None, b"plain"]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    batch = read(tmp_path / "a.parquet")
    assert batch.rows["user_id"].to_list() == ["u", "w"]
    assert batch.rows["source_line"].to_list() == [1, 3]
    assert batch.rows["picture"].to_list() == [None, "plain"]
    told = [(2, "the bytes of 'user_id' cannot be decoded", "\"b'\\\\xff\\\\xfe'\"")]
    assert batch.rejects.rows() == told


@pytest.mark.parametrize("name", ["user_id", "timestamp", "rating", "Rating"])
def test_a_nested_column_that_is_to_be_read_is_refused(tmp_path: Path, name: str) -> None:
    columns = {"user_id": ["u"], "item_id": ["a"], "timestamp": ["2024-01-02"]}
    pl.DataFrame(columns | {name: [[1.5, 2.0]]}).write_parquet(tmp_path / "a.parquet")
    role = name.lower()
    told = rf"column '{name}' holds (large_)?list.* which is no {role}; .*columns.{role}"
    with pytest.raises(SourceError, match=told):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -9, -1])
def test_what_is_not_parquet_is_told(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [1]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"a\.parquet"):
        read(path)


@pytest.mark.parametrize("name", ["a.parquet.gz", "A.PQ.GZ"])
def test_packed_parquet_is_refused_as_parquet(tmp_path: Path, name: str) -> None:
    pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [1]}).write_parquet(tmp_path / "a")
    (tmp_path / name).write_bytes(gzip.compress((tmp_path / "a").read_bytes()))
    with pytest.raises(SourceError, match=rf"{re.escape(name)}: .*parquet"):
        read(tmp_path / name)


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
