"""Parsing: raw rows become typed rows or rejects with a reason, and none gets lost."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pwrank.config import Config, SourceConfig
from pwrank.datasets import INTERACTIONS, ITEMS, REJECTS, IdType, IdTypes
from pwrank.errors import ConfigError, SourceError
from pwrank.landing.parsing import parse_interactions, parse_items, reject_rows
from pwrank.landing.timestamps import parse_timestamps
from pwrank.sources import SourceFile, id_types, list_files, read_batches

INGESTED = datetime(2026, 1, 1, tzinfo=UTC)
INTERACTIONS_FILE = SourceFile("interactions", Path("/drops/day.csv"), "day.csv")
ITEMS_FILE = SourceFile("items", Path("/drops/items.csv"), "items.csv")
STRINGS = IdTypes()
NUMBERS = IdTypes(IdType.INT64, IdType.INT64)
fuzz = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


def config_of(source: dict[str, Any] | None = None, **sections: Any) -> Config:
    paths = {"interactions": "i.csv", "items": "items.csv"}
    return Config.model_validate({"lake": "lake", "source": paths | (source or {}), **sections})


def raw_of(**columns: Any) -> pl.DataFrame:
    frame = pl.DataFrame(columns, strict=False)
    return frame.with_columns(source_line=pl.int_range(2, frame.height + 2, dtype=pl.Int64))


def interactions(
    ids: IdTypes = STRINGS, config: Config | None = None, **columns: Any
) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = raw_of(**columns)
    typed, rejects = parse_interactions(
        raw, config or config_of(), file=INTERACTIONS_FILE, ids=ids, ingested_at=INGESTED
    )
    INTERACTIONS.check(typed, ids, place="test")
    REJECTS.check(rejects, ids, place="test")
    assert typed.height + rejects.height == raw.height
    return typed, rejects


def items(
    ids: IdTypes = STRINGS, config: Config | None = None, **columns: Any
) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = raw_of(**columns)
    typed, rejects = parse_items(
        raw, config or config_of(), file=ITEMS_FILE, ids=ids, ingested_at=INGESTED
    )
    ITEMS.check(typed, ids, place="test")
    REJECTS.check(rejects, ids, place="test")
    assert typed.height + rejects.height == raw.height
    return typed, rejects


def time_of(value: Any, **source: Any) -> datetime | None:
    return parse_timestamps(pl.Series([value]), SourceConfig(**source)).item()


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
    spelled = ["007", "17850.0", " a", "../x", "é\n🎈", "7"]
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
        ({"column": "Invoice", "matches": "("}, r"matches = '\('"),
    ],
)
def test_a_rule_that_cannot_be_is_told(rule: dict[str, str], message: str) -> None:
    config = config_of(clean={"reject": [{"reason": "r"} | rule]})
    with pytest.raises(ConfigError, match=message):
        interactions(config=config, user_id=["1"], item_id=["1"], timestamp=["1"], Invoice=["1"])


# --- timestamps ----------------------------------------------------------------------------

NOON = datetime(2013, 2, 28, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2013, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1362052800", NOON),
        (" 1362052800.25 ", NOON + timedelta(milliseconds=250)),
        ("1.3620528e9", NOON),
        ("1362052800000", NOON),
        ("1362052800000001", NOON + timedelta(microseconds=1)),
        ("1362052800000000999", NOON),
        (1362052800, NOON),
        (1362052800.5, NOON + timedelta(milliseconds=500)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("20130228", MIDNIGHT),
        (20130228, MIDNIGHT),
        ("20130229", datetime(1970, 8, 21, 23, 43, 49, tzinfo=UTC)),
        ("2013-02-28", MIDNIGHT),
        ("2013-02-28 12:00", NOON),
        ("2013-02-28 12:00:00", NOON),
        ("2013-02-28T12:00:00", NOON),
        ("2013-02-28T12:00:00Z", NOON),
        ("2013-02-28T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2013-02-28 12:00:00,123456789", NOON + timedelta(microseconds=123456)),
        ("2013-02-28T14:00:00+02:00", NOON),
        ("2013-02-28T14:00:00.000+0200", NOON),
        ("2013-02-28 14:00+02", NOON),
        ("2013-02-28 06:30:00 -05:30", NOON),
        ("2013-02-28 12:00:00 UTC", NOON),
        (date(2013, 2, 28), MIDNIGHT),
        (datetime(2013, 2, 28, 12), NOON),  # noqa: DTZ001 - without zone on purpose
        (NOON, NOON),
        ("9999-12-31", datetime(9999, 12, 31, tzinfo=UTC)),
        ("2013-02-30", None),
        ("2013-02-28T25:00:00", None),
        ("1969-12-31", None),
        ("-1", None),
        ("1e400", None),
        ("nan", None),
        ("99999-01-01", None),
        ("28/02/2013", None),
        ("", None),
        (2**63 - 1, datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC)),
        (float("inf"), None),
    ],
)
def test_timestamps_are_read_in_every_usual_spelling(value: Any, expected: datetime | None) -> None:
    assert time_of(value) == expected


def test_the_unit_and_the_format_of_timestamps_can_be_said() -> None:
    assert time_of("20130228", timestamp_unit="seconds") == datetime(
        1970, 8, 21, 23, 43, 48, tzinfo=UTC
    )
    assert time_of(253402300799, timestamp_unit="seconds") == datetime(
        9999, 12, 31, 23, 59, 59, tzinfo=UTC
    )
    assert time_of(5_000, timestamp_unit="milliseconds") == datetime(
        1970, 1, 1, 0, 0, 5, tzinfo=UTC
    )
    assert time_of("28/02/2013 12:00", timestamp_format="%d/%m/%Y %H:%M") == NOON
    assert time_of(28022013, timestamp_format="%d%m%Y") == MIDNIGHT
    assert time_of("2013-02-28T12:00:00Z", timestamp_format="%d/%m/%Y") == NOON
    assert time_of("1362052800", timestamp_format="%d/%m/%Y") is None
    assert time_of("28/02/2013", timestamp_format="%d/%m/%Y") == MIDNIGHT
    assert time_of("28/02/2013 14:00 +0200", timestamp_format="%d/%m/%Y %H:%M %z") == NOON
    with pytest.raises(ConfigError, match="timestamp_format"):
        time_of("12", timestamp_format="%H")


def test_clock_times_follow_their_zone_through_gaps_and_overlaps() -> None:
    paris = {"time_zone": "Europe/Paris"}
    assert time_of("2013-07-01 12:00:00", **paris) == datetime(2013, 7, 1, 10, tzinfo=UTC)
    assert time_of("2013-07-01T12:00:00Z", **paris) == datetime(2013, 7, 1, 12, tzinfo=UTC)
    # 02:30 never was on this day, and was twice on that.
    assert time_of("2013-03-31 02:30", **paris) == datetime(2013, 3, 31, 1, 30, tzinfo=UTC)
    assert time_of("2013-10-27 02:30", **paris) == datetime(2013, 10, 27, 0, 30, tzinfo=UTC)
    assert time_of(date(2013, 2, 28), **paris) == datetime(2013, 2, 27, 23, tzinfo=UTC)
    left_out = time_of("2011-12-30 12:00", time_zone="Pacific/Apia")
    assert left_out == datetime(2011, 12, 30, 22, tzinfo=UTC)
    late = time_of("9999-12-31 20:00:00", **paris)
    assert late == datetime(9999, 12, 31, 19, tzinfo=UTC)


@fuzz
@given(
    st.lists(st.none() | st.text() | st.datetimes().map(str) | st.integers().map(str), max_size=9)
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_any_text_is_a_time_in_range_or_none(zone: str, values: list[str | None]) -> None:
    texts = pl.Series(
        [v and v.encode("utf-8", "replace").decode() for v in values], dtype=pl.String
    )
    times = parse_timestamps(texts, SourceConfig(time_zone=zone)).drop_nulls()
    assert all(1970 <= time.year <= 9999 for time in times)


@fuzz
@given(st.datetimes(datetime(1973, 4, 1), datetime(5000, 1, 1)))  # noqa: DTZ001
def test_a_moment_is_the_same_in_every_spelling(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    spellings = [
        str(micros),
        moment.isoformat(),
        str(moment),
        moment.isoformat().replace("+00:00", "Z"),
    ]
    assert {time_of(spelling) for spelling in spellings} == {moment}


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_times_that_no_calendar_has_are_rejected(unit: Any, zone: str | None) -> None:
    times = pl.Series([2**63 - 1, -(2**63) + 1, 1]).cast(pl.Datetime(unit, zone))
    typed, rejects = interactions(
        config=config_of(
            {"time_zone": "Europe/Paris"},
            clean={"reject": [{"reason": "r", "column": "timestamp", "matches": "2262"}]},
        ),
        user_id=["1"] * 3,
        item_id=["1"] * 3,
        timestamp=times,
        day=pl.Series([2**31 - 1, -(2**31), 0], dtype=pl.Int32).cast(pl.Date),
    )
    assert typed["source_line"].to_list() == ([4] if zone else [])
    assert json.loads(rejects["raw"][0])["day"] == "2147483647"


# --- items ---------------------------------------------------------------------------------


def test_an_item_is_cleaned_and_keeps_only_the_columns_that_the_template_names() -> None:
    typed, _ = items(
        config=config_of(encoder={"text_template": "{title} {brand} {année}"}),
        item_id=["1", "2"],
        title=["<b>A</b> &amp; B", None],
        category=["Home > Kitchen|Bath", " "],
        brand=["Zoë  Ltd", None],
        année=[1999, None],
        junk=["x", "y"],
    )
    assert typed["title"].to_list() == ["A & B", ""]
    assert typed["text"].to_list() == ["", ""]
    assert typed["category"].to_list() == ["Home > Kitchen|Bath", ""]
    assert typed["attributes"].to_list() == [
        '{"année": "1999", "brand": "Zoë Ltd"}',
        '{"année": "", "brand": ""}',
    ]
    assert typed["available"].to_list() == [True, True]
    assert typed["updated_at"].to_list() == [None, None]


def test_a_template_column_that_is_not_there_is_told() -> None:
    config = config_of(encoder={"text_template": "{title} {brnd}"})
    with pytest.raises(SourceError, match=r"'brnd'.*text_template.*did you mean 'brand'"):
        items(config=config, item_id=["1"], title=["a"], brand=["b"])


def test_availability_is_told_by_words_and_by_stock() -> None:
    words = {
        "true": True, "FALSE": False, "1": True, "0": False, "yes": True, "No": False,
        "In Stock": True, "out of stock": False, "12": True, "-3": False, "": True,
        "sold out": False, "0.0": False,
    }  # fmt: skip
    columns = {"item_id": [str(n) for n in range(len(words))], "title": ["t"] * len(words)}
    typed, _ = items(available=list(words), **columns)
    assert typed["available"].to_list() == list(words.values())
    _, rejects = items(item_id=["1", "2"], title=["a", "b"], available=["perhaps", "nan"])
    assert rejects["reason"].to_list() == ["available is neither yes nor no"] * 2
    typed, _ = items(item_id=["1", "2"], title=["a", "b"], available=[0.0, float("nan")])
    assert typed["available"].to_list() == [False, True]
    typed, _ = items(item_id=["1", "2"], title=["a", "b"], available=[False, None])
    assert typed["available"].to_list() == [False, True]


def test_items_are_rejected_without_an_id_or_with_a_bad_time() -> None:
    typed, rejects = items(
        item_id=["", "2", "3"], title=["a", "b", "c"], updated_at=["", "yesterday", None]
    )
    assert typed["item_id"].to_list() == ["3"]
    assert rejects["reason"].to_list() == [
        "item_id is missing",
        "updated_at is not a time in 1970 to 9999 (number or ISO 8601)",
    ]


def test_the_item_id_of_the_catalogue_may_have_another_name() -> None:
    config = config_of({"columns": {"item_id": "sku", "items_item_id": "code"}})
    assert items(config=config, code=["1"], title=["a"])[0].height == 1
    with pytest.raises(SourceError, match=r"no column 'code'.*source\.columns\.items_item_id"):
        items(config=config, sku=["1"], title=["a"])


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
