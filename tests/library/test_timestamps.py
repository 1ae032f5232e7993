"""Timestamps: every usual spelling is one moment, and what is none is told."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pwrank.config import SourceConfig
from pwrank.errors import ConfigError
from pwrank.landing.timestamps import parse_timestamps
from tests.library.parsed_rows import (
    config_of,
    fuzz,
    interactions,
)


def time_of(value: Any, **source: Any) -> datetime | None:
    return parse_timestamps(pl.Series([value]), SourceConfig(**source)).item()


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
        ("20130228T120000Z", NOON),
        ("20130228T1200", NOON),
        ("20130228t140000.5+0200", NOON + timedelta(milliseconds=500)),
        ("20130228T1200:00", None),
        ("20130228T126000", None),
        ("2013-02-27T24:00:00Z", MIDNIGHT),
        ("2013-02-27T24:00", MIDNIGHT),
        ("2013-02-27 24:00:00.000+00:00", MIDNIGHT),
        ("20130227T240000Z", MIDNIGHT),
        ("2013-02-27T24:00:01Z", None),
        ("2013-02-27T24:00:00.5Z", None),
        ("2013-02-27T24:30:00Z", None),
        ("9999-12-31T24:00:00Z", None),
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
    # In a zone 24:00 is its own next midnight, after a day of 23 hours, too.
    assert time_of("2013-03-31T24:00", **paris) == datetime(2013, 3, 31, 22, tzinfo=UTC)
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
