"""Parsing: raw rows become typed rows or rejects with a reason, and none gets lost."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pwrank.config import Config
from pwrank.errors import ConfigError, SourceError
from pwrank.landing.parsing import parse_interactions, parse_items, reject_rows
from pwrank.sources import SourceFile, id_types, list_files, read_batches
from tests.library.parsed_rows import (
    INGESTED,
    NUMBERS,
    STRINGS,
    config_of,
    fuzz,
    interactions,
    items,
)

# --- interactions --------------------------------------------------------------------------


def test_a_full_row_is_typed_and_a_short_one_gets_its_defaults() -> None:
    typed, _ = interactions(
        user_id=["007", "b"],
        item_id=["1", "2"],
        timestamp=["86400", "1970-01-02"],
        event=[" click ", ""],
        rating=["4.5", ""],
        weight=["2", None],
    )
    day = datetime(1970, 1, 2, tzinfo=UTC)
    assert typed.rows() == [
        ("007", "1", "click", day, INGESTED, 4.5, 2.0, "day.csv", 2),
        ("b", "2", "interaction", day, INGESTED, None, 1.0, "day.csv", 3),
    ]


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical])
def test_white_space_around_an_id_is_no_part_of_it(kind: Any) -> None:
    padded = pl.Series([" 7 ", "7\t", "\u00a07", "0 7"], dtype=pl.String).cast(kind)
    typed, _ = interactions(user_id=padded, item_id=padded, timestamp=["1"] * 4)
    assert typed["user_id"].to_list() == typed["item_id"].to_list() == ["7", "7", "7", "0 7"]
    assert items(item_id=padded, title=["a"] * 4)[0]["item_id"].to_list()[:3] == ["7"] * 3
    typed, rejects = interactions(NUMBERS, user_id=padded, item_id=["1"] * 4, timestamp=["1"] * 4)
    assert typed["user_id"].to_list() == [7] * 3
    assert rejects["reason"].to_list() == ["user_id is not an integer"]


def test_each_bad_row_is_rejected_for_its_first_reason_with_the_row_as_json() -> None:
    bad = {
        ("", "", "", "x", "0"): "user_id is missing",
        (" \t", "1", "1", "", ""): "user_id is missing",
        ("1", None, "1", "", ""): "item_id is missing",
        ("1", "1", "", "", ""): "timestamp is missing",
        ("1", "1", "soon", "x", ""): "timestamp is not a time in 1970 to 9999 (number or ISO 8601)",
        ("1", "1", "1", "4,5", "0"): "rating is not a number",
        ("1", "1", "1", "nan", ""): "rating is not a finite number",
        ("1", "1", "1", "-inf", ""): "rating is not a finite number",
        ("1", "1", "1", "1e39", ""): "rating is not a finite number",
        ("1", "1", "1", "", "much"): "weight is not a number",
        ("1", "1", "1", "", "NaN"): "weight is not a finite number",
        ("1", "1", "1", "", "0"): "weight is not above zero",
        ("1", "1", "1", "", "-1"): "weight is not above zero",
    }
    names = ("user_id", "item_id", "timestamp", "rating", "weight")
    typed, rejects = interactions(
        **dict(zip(names, map(list, zip(*bad, strict=True)), strict=True))
    )
    assert typed.height == 0
    assert rejects["reason"].to_list() == list(bad.values())
    assert rejects["source_line"].to_list() == list(range(2, 2 + len(bad)))
    assert json.loads(rejects["raw"][4]) == dict(zip(names, list(bad)[4], strict=True))
    assert set(rejects["table"]) == {"interactions"}


def test_ids_keep_their_spelling_as_text_and_must_be_canonical_as_integers() -> None:
    spelled = ["007", "17850.0", "a b", "../x", "é\n🎈", "7"]
    columns = {"item_id": ["1"] * 6, "timestamp": ["1"] * 6}
    assert interactions(user_id=spelled, **columns)[0]["user_id"].to_list() == spelled
    typed, rejects = interactions(NUMBERS, user_id=spelled, **columns)
    assert typed["user_id"].to_list() == [7]
    assert set(rejects["reason"]) == {"user_id is not an integer"}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (pl.Series([1, 2**62], dtype=pl.UInt64), [1, 2**62]),
        (pl.Series([1, 2**63], dtype=pl.UInt64), [1]),
        (pl.Series([1.0, 1.5, None, float("nan"), float("inf"), 1e18]), [1]),
        (pl.Series([Decimal(5), None], dtype=pl.Decimal(10, 0)), [5]),
        (pl.Series(["5", None], dtype=pl.Categorical), [5]),
        (pl.Series([None, None]), []),
    ],
)
def test_columns_of_other_types_hold_integer_ids(values: pl.Series, kept: list[int]) -> None:
    rest = {"item_id": [1] * len(values), "timestamp": [1] * len(values)}
    assert interactions(NUMBERS, user_id=values, **rest)[0]["user_id"].to_list() == kept
    as_text = interactions(STRINGS, user_id=values, **rest)[0]["user_id"].to_list()
    assert as_text == [str(number) for number in kept]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("user_id", [True]),
        ("user_id", [b"x"]),
        ("item_id", [date(2020, 1, 1)]),
        ("item_id", [[1]]),
        ("rating", [date(2020, 1, 1)]),
        ("weight", [[1]]),
        ("timestamp", [True]),
    ],
)
def test_a_column_that_cannot_be_what_it_is_called_is_told(column: str, values: list[Any]) -> None:
    columns = {"user_id": ["1"], "item_id": ["1"], "timestamp": [1], column: values}
    with pytest.raises(SourceError, match=rf"day\.csv: column '{column}' has type"):
        interactions(**columns)


def test_a_source_without_times_gets_one_moment_so_that_the_lines_are_the_order() -> None:
    typed, _ = interactions(user_id=["1", "2"], item_id=["1", "2"])
    assert set(typed["occurred_at"]) == {datetime(1970, 1, 1, tzinfo=UTC)}
    with pytest.raises(SourceError, match="'Time'"):
        interactions(user_id=["1"], item_id=["1"], Time=["1"])


# --- declared rules ------------------------------------------------------------------------


def test_declared_rules_set_rows_aside_with_their_own_reason() -> None:
    rules = [
        {"reason": "cancelled", "column": "Invoice", "matches": "^C"},
        {"reason": "implausible", "column": "Quantity", "below": 1, "above": 100},
        {"reason": "not for this table", "column": "nowhere", "matches": "x", "table": "items"},
    ]
    typed, rejects = interactions(
        config=config_of(clean={"reject": rules}),
        user_id=["1", "1", "", "1", "1", "1"],
        item_id=["1"] * 6,
        timestamp=["1", "never", "1", "1", "1", "1"],
        Invoice=["C1", "C2", "C3", "1C", None, "1"],
        Quantity=["-1", "5", "5", " 0 ", "x", "101"],
    )
    assert typed["source_line"].to_list() == [6]
    assert rejects["reason"].to_list() == [
        "cancelled", "cancelled", "user_id is missing", "implausible", "implausible",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"column": "invoice", "matches": "C"}, "no column 'invoice'.*did you mean 'Invoice'"),
        ({"column": "Invoice", "matches": "("}, r"matches = '\(': unclosed group"),
        ({"column": "Invoice", "matches": "^(?!C)"}, "look-ahead and look-behind, is not supp"),
    ],
)
def test_a_rule_that_cannot_be_is_told(rule: dict[str, str], message: str) -> None:
    config = config_of(clean={"reject": [{"reason": "r"} | rule]})
    with pytest.raises(ConfigError, match=message):
        interactions(config=config, user_id=["1"], item_id=["1"], timestamp=["1"], Invoice=["1"])


# --- properties ----------------------------------------------------------------------------

cell = (
    st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(
        ["1", "-5", "1e9", "2020-01-01T00:00:00+01:00", "nan", "NaN", "yes", "<b>x", "&lt;", "007"]
    )
)
cells = st.lists(st.tuples(*[cell] * 6), max_size=10)


@fuzz
@given(rows=cells, numbers=st.booleans())
def test_any_text_cells_end_as_typed_rows_or_rejects(*, rows: list[Any], numbers: bool) -> None:
    ids = NUMBERS if numbers else STRINGS
    names = ("user_id", "item_id", "timestamp", "rating", "event", "weight")
    columns = {
        name: pl.Series([row[n] for row in rows], dtype=pl.String) for n, name in enumerate(names)
    }
    typed, rejects = interactions(ids, **columns)
    lines = typed["source_line"].to_list() + rejects["source_line"].to_list()
    assert sorted(lines) == list(range(2, len(rows) + 2))
    names = ("item_id", "title", "category", "available", "updated_at", "text")
    columns = dict(zip(names, columns.values(), strict=True))
    typed, rejects = items(ids, **columns)
    assert typed.height + rejects.height == len(rows)


value = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.lists(st.text(max_size=3), max_size=2) | st.dictionaries(st.text(max_size=2), st.none())
)  # fmt: skip
json_row = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("user_id", "item_id", "timestamp", "rating", "weight", "event", "title", "available"),
        value,
    ),
)


@fuzz
@given(
    rows=st.lists(json_row, min_size=1, max_size=6),
    noise=st.binary(max_size=30),
    table=st.sampled_from(["interactions", "items"]),
)
def test_any_json_lines_add_up_or_are_told(
    rows: list[dict[str, Any]], noise: bytes, table: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [json.dumps(row).encode() for row in rows]
    lines.append(b"!" + noise.replace(b"\n", b"").replace(b"\r", b""))
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    config, file = config_of(), SourceFile(table, path, path.name)
    parse = parse_interactions if table == "interactions" else parse_items
    seen = 0
    with contextlib.suppress(SourceError):
        for batch in read_batches(file, config.source, batch_rows=2):
            typed, rejects = parse(batch.rows, config, file=file, ids=STRINGS, ingested_at=INGESTED)
            seen += typed.height + rejects.height + batch.rejects.height
        assert seen == len(lines)


# --- real data -----------------------------------------------------------------------------


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("PWRANK_DATA")
    if not folder:
        pytest.skip("PWRANK_DATA is not set: no real data here")
    return Path(folder).resolve()


def account(config: Config) -> tuple[Counter[str], pl.DataFrame]:
    """Typed rows and rejects by reason, and the last typed items."""
    files = list_files(config.source)
    ids = id_types(files, config.source)
    counts: Counter[str] = Counter()
    typed = pl.DataFrame()
    for file in files:
        parse = parse_interactions if file.table == "interactions" else parse_items
        for batch in read_batches(file, config.source):
            typed, rejects = parse(batch.rows, config, file=file, ids=ids, ingested_at=INGESTED)
            broken = reject_rows(batch.rejects, file=file, ingested_at=INGESTED)
            counts[file.table] += typed.height
            counts.update(pl.concat([rejects, broken])["reason"].to_list())
    return counts, typed


def test_real_movies_are_typed_whole(real_data: Path) -> None:
    small = config_of({"kind": "movielens", "folder": real_data / "ml-latest-small"})
    counts, movies = account(small)
    assert counts == {"interactions": 100_836, "items": 9_742}
    assert movies["item_id"].dtype == pl.Int64
    tweets = config_of({"kind": "movielens", "folder": real_data / "movietweetings-100k"})
    counts, movies = account(tweets)
    assert counts == {"interactions": 100_000, "items": 10_506}
    assert movies["item_id"][0] == "0002844"
    assert movies["title"][0] == "Fantômas - À l'ombre de la guillotine (1913)"
    assert movies.filter(pl.col("category") == "").height == 66


def test_a_real_day_of_a_shop_adds_up(real_data: Path) -> None:
    day = real_data / "online-retail" / "by-day" / "2010-12-01.csv"
    columns = {
        "user_id": "CustomerID",
        "item_id": "StockCode",
        "timestamp": "InvoiceDate",
        "title": "Description",
    }
    rules = [{"reason": "cancelled", "column": "InvoiceNo", "matches": "^C"}]
    source = {"interactions": day, "items": day, "columns": columns}
    counts, typed = account(config_of(source, clean={"reject": rules}))
    rows = sum(1 for _ in day.open()) - 1
    assert counts.total() == 2 * rows
    assert counts["items"] == rows
    assert counts["user_id is missing"] > 0
    assert counts["cancelled"] > 0
    assert "85123A" in typed["item_id"]
