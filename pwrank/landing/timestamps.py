"""Source timestamps of any spelling -> UTC microseconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

import polars as pl

from pwrank.config import SourceConfig
from pwrank.datasets import UTC_MICROSECONDS
from pwrank.errors import ConfigError, first_line

Unit = Literal["auto", "seconds", "milliseconds", "microseconds"]

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
DAYS_OF_A_SPREADSHEET = (FIRST + timedelta(seconds=20_000), FIRST + timedelta(seconds=80_000))
"""What the days that a spreadsheet counts from 1900 on become if they are taken for seconds; these
are the days of 1954 to 2119."""
_LAST_MICROSECOND = 253_402_300_799_999_999
_MICROSECONDS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_UNITS_BY_SIZE = (
    (0, 10**11 - 1, 1_000_000),
    (10**11, 10**14 - 1, 1_000),
    (10**14, 10**17 - 1, 1),
)
"""Range of a number and its microseconds: seconds reach to 5138, milliseconds begin in 1973."""
_LONGEST_GAP = timedelta(hours=25)
"""Longer than any gap of local time: Samoa left out a whole day."""
_COMMON_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f%#z")
"""Tried first: ten times faster than the pattern, which takes what they leave."""
_ISO = (
    r"^(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?<clock>\d{2}:\d{2})(?::(?<seconds>\d{2})(?:[.,](?<fraction>\d{1,12}))?)?)?"
    r"\s*(?:(?<utc>[Zz]|UTC|GMT)|(?<sign>[+-])(?<hours>[01]\d|2[0-3]):?(?<minutes>[0-5]\d)?)?$"
)
_BASIC = (
    (r"^(\d{4})(\d{2})(\d{2})[Tt](\d{2})(\d{2})(\d{2})", "${1}-${2}-${3}T${4}:${5}:${6}"),
    (r"^(\d{4})(\d{2})(\d{2})[Tt](\d{2})(\d{2})($|[^\d:])", "${1}-${2}-${3}T${4}:${5}${6}"),
)
"""The basic format of ISO 8601, and how the extended one spells it."""


def parse_timestamps(values: pl.Series, source: SourceConfig) -> pl.Series:
    """Datetime(us, UTC) of each value; null where it is missing or no time in 1970 to 9999.

    Numbers are read by `timestamp_unit`, text as a number, ISO 8601 or `timestamp_format`;
    what carries no zone is in `time_zone`. Raises TypeError if the column cannot hold times.
    """
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        parsed = _to_utc(_in_microseconds(values, dtype), source.time_zone)
    elif dtype == pl.Date:
        # Days far outside of our range would overflow on the way to microseconds.
        sane = values.set(~values.is_between(FIRST.date(), LAST.date()), None)
        parsed = _to_utc(sane.cast(pl.Datetime("us")), source.time_zone)
    elif dtype.is_numeric() and source.timestamp_format is None:
        parsed = _from_numbers(values, source)
    elif dtype == pl.Null:
        parsed = values.cast(UTC_MICROSECONDS)
    elif dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum):
        parsed = _from_text(values.cast(pl.String).str.strip_chars(), source)
    else:
        raise TypeError(f"type {dtype}")
    return parsed.set(~parsed.is_between(FIRST, LAST), None)


def _in_microseconds(values: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Datetimes of any unit, those far outside of our range as null: polars panics over them."""
    numbers = values.to_physical()
    if dtype.time_unit == "ns":
        numbers = numbers // 1_000
    factor = 1_000 if dtype.time_unit == "ms" else 1
    two_days = 2 * 86_400 * 1_000_000 // factor  # no zone is further from UTC
    micros = _only_between(numbers, -two_days, _LAST_MICROSECOND // factor + two_days) * factor
    return micros.cast(pl.Datetime("us", dtype.time_zone))


def _from_text(texts: pl.Series, source: SourceConfig) -> pl.Series:
    """Each spelling in turn takes what those before it left."""
    zone = source.time_zone
    readers: list[Callable[[pl.Series], pl.Series]] = [
        *(partial(_by_format, pattern=pattern, zone=zone) for pattern in _COMMON_FORMATS),
        partial(_from_iso, zone=zone),
    ]
    if source.timestamp_format is None:
        numbers = texts.cast(pl.Int64, strict=False)
        parsed = _from_numbers(numbers, source)
        readers.append(lambda left: _from_numbers(left.cast(pl.Float64, strict=False), source))
        texts = texts.set(numbers.is_not_null(), None)
    else:
        # Numbers that the declared format does not fit are no seconds either.
        parsed = _by_format(texts, source.timestamp_format, zone)
    for read in readers:
        rest = parsed.is_null() & texts.is_not_null()
        if not rest.any():
            break
        parsed = parsed.zip_with(~rest, read(texts.set(~rest, None)))
    return parsed


def _by_format(texts: pl.Series, pattern: str, zone: str) -> pl.Series:
    try:
        parsed = texts.str.to_datetime(pattern, time_unit="us", strict=False)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"source.timestamp_format = {pattern!r}: {first_line(error)}") from None
    return _to_utc(parsed, zone)


def _from_iso(texts: pl.Series, zone: str) -> pl.Series:
    """ISO 8601: date, or date and time with T or a space, fraction and offset as they come.

    Also without hyphens and colons (20260101T100000Z), and 24:00 for the next midnight.
    """
    for digits, spelled in _BASIC:
        texts = texts.str.replace(digits, spelled)
    parts = texts.str.extract_groups(_ISO).struct.unnest()
    is_24 = (
        (pl.col("clock") == "24:00")
        & (pl.col("seconds").fill_null("00") == "00")
        & (pl.col("fraction").fill_null("").str.strip_chars("0") == "")
    ).fill_null(value=False)
    local = parts.select(
        pl.concat_str(
            pl.col("day"),
            pl.lit(" "),
            pl.when(is_24).then(pl.lit("00:00")).otherwise(pl.col("clock").fill_null("00:00")),
            pl.lit(":"),
            pl.col("seconds").fill_null("00"),
        ).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        + pl.duration(
            days=is_24.cast(pl.Int64),
            microseconds=pl.col("fraction")
            .fill_null("")
            .str.pad_end(6, "0")
            .str.slice(0, 6)
            .cast(pl.Int64),
            time_unit="us",
        )
    ).to_series()
    offsets = parts.select(
        pl.when(pl.col("utc").is_not_null())
        .then(0)
        .when(pl.col("sign").is_not_null())
        .then(
            (pl.col("hours").cast(pl.Int64) * 60 + pl.col("minutes").fill_null("0").cast(pl.Int64))
            * pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
        )
    ).to_series()
    shifted = (local - (offsets * 60_000_000).cast(pl.Duration("us"))).dt.replace_time_zone("UTC")
    return shifted.zip_with(offsets.is_not_null(), _to_utc(local, zone))


def _from_numbers(numbers: pl.Series, source: SourceConfig) -> pl.Series:
    """Epoch numbers; under `auto` the size tells the unit, and 20130228 is a day."""
    whole = not (numbers.dtype.is_float() or numbers.dtype.is_decimal())
    numbers = numbers.cast(pl.Int64 if whole else pl.Float64, strict=False)
    if source.timestamp_unit != "auto":
        factor = _MICROSECONDS[source.timestamp_unit]
        micros = _scaled(numbers, 0, _LAST_MICROSECOND // factor, factor)
        return micros.cast(UTC_MICROSECONDS)
    micros = _only_between(numbers, 10**17, 2**63 - 1) // 1_000
    micros = micros.cast(pl.Int64, strict=False)
    for low, high, factor in _UNITS_BY_SIZE:
        micros = micros.zip_with(micros.is_not_null(), _scaled(numbers, low, high, factor))
    times = micros.cast(UTC_MICROSECONDS)
    days = _only_between(numbers.cast(pl.Int64, strict=False), 19_700_101, 20_991_231)
    if days.null_count() == len(days):
        return times
    as_days = _by_format(days.cast(pl.String), "%Y%m%d", source.time_zone)
    return as_days.zip_with(as_days.is_not_null(), times)


def _scaled(numbers: pl.Series, low: int, high: int, factor: int) -> pl.Series:
    """Int64 microseconds of the numbers in the range, null of the others."""
    product = _only_between(numbers, low, high) * factor
    return (product.round() if product.dtype.is_float() else product).cast(pl.Int64, strict=False)


def _only_between(numbers: pl.Series, low: int, high: int) -> pl.Series:
    return numbers.set(~numbers.is_between(low, high), None)


def _to_utc(local: pl.Series, zone: str) -> pl.Series:
    """Clock times of a zone in UTC.

    A time that came twice is the earlier, one that was left out counts on from before the gap.
    """
    dtype = local.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return local.dt.convert_time_zone("UTC")
    if zone == "UTC":
        return local.dt.replace_time_zone("UTC")
    # Far dates could overflow in the shift below, and are refused anyway.
    local = local.set(
        ~local.is_between(
            (FIRST - timedelta(days=2)).replace(tzinfo=None), LAST.replace(tzinfo=None)
        ),
        None,
    )
    try:
        known = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"source.time_zone = {zone!r}: {first_line(error)}") from None
    known = known.dt.convert_time_zone("UTC")
    in_gap = known.is_null() & local.is_not_null()
    if not in_gap.any():
        return known
    before = (local - _LONGEST_GAP).dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    )
    return known.zip_with(~in_gap, before.dt.convert_time_zone("UTC") + _LONGEST_GAP)
