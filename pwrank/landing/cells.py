"""Typed cells from columns of any type, and a verdict on each that cannot be."""

from __future__ import annotations

import polars as pl

from pwrank.datasets import IdType, whole_numbers
from pwrank.errors import SourceError
from pwrank.landing.text_cleaning import clean_series
from pwrank.sources.files import SourceFile

_EXACT_IN_FLOAT = 2**53
_YES = (
    "true",
    "t",
    "yes",
    "y",
    "on",
    "available",
    "active",
    "in stock",
    "instock",
    "in_stock",
    "in-stock",
    "preorder",
    "backorder",
)
_NO = (
    "false",
    "f",
    "no",
    "n",
    "off",
    "unavailable",
    "not available",
    "inactive",
    "out of stock",
    "outofstock",
    "out_of_stock",
    "out-of-stock",
    "sold out",
    "soldout",
    "sold_out",
    "discontinued",
)
_TEXT = (pl.String, pl.Categorical, pl.Enum)


class Verdicts:
    """Reasons against rows, in the order in which they were found."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self._found: list[tuple[pl.Series, str]] = []

    def reject(self, rows: pl.Series, reason: str) -> None:
        """Speak against the rows where the mask is true; null is not."""
        if rows.any():
            self._found.append((rows, reason))

    def first_reasons(self, height: int) -> pl.Series:
        """The first reason against each row, null where there is none."""
        if not self._found:
            return pl.repeat(None, height, dtype=pl.String, eager=True)
        masks = pl.DataFrame([rows.alias(str(n)) for n, (rows, _) in enumerate(self._found)])
        return masks.select(
            pl.coalesce(
                pl.when(pl.col(str(n))).then(pl.lit(reason))
                for n, (_, reason) in enumerate(self._found)
            )
        ).to_series()


def as_text(values: pl.Series) -> pl.Series:
    """The values as text; times that polars cannot spell (it panics) as their number."""
    dtype = values.dtype
    if not dtype.is_temporal():
        return values.cast(pl.String)
    numbers = values.to_physical().cast(pl.String)
    if not isinstance(dtype, pl.Datetime | pl.Date):
        return numbers
    # Year 1 to 9999, whatever the unit.
    unit = {"ms": 10**3, "us": 10**6, "ns": 10**9}
    day = 86_400 * unit[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1
    low, high = (max(-(2**63), -719_162 * day), min(2**63 - 1, 2_932_896 * day))
    sane = values.to_physical().cast(pl.Int64).is_between(low, high)
    return values.set(~sane, None).cast(pl.String).fill_null(numbers)


def parse_ids(values: pl.Series, kind: IdType, name: str, verdicts: Verdicts) -> pl.Series:
    """Ids in the type of the lake; whole floats are integers (pandas with gaps makes them so).

    White space around text is no part of an id: a padded column would make two users of one. Text
    becomes an integer only in canonical spelling: "007" would come back as another id.
    """
    dtype = values.dtype
    if dtype in _TEXT:
        text = values.cast(pl.String).str.strip_chars()
        missing = text.is_null() | (text == "")
        if kind is IdType.STRING:
            verdicts.reject(missing, f"{name} is missing")
            return text
        whole = whole_numbers(text)
        wrong = whole.is_null()
    elif dtype.is_float():
        missing = values.is_null() | values.is_nan()
        whole = values.cast(pl.Int64, strict=False)
        wrong = whole.is_null() | (values != values.floor()) | (values.abs() > _EXACT_IN_FLOAT)
    elif dtype.is_integer() or dtype == pl.Null or (dtype.is_decimal() and not _scale(dtype)):
        missing = values.is_null()
        whole = values.cast(pl.Int64, strict=False)
        wrong = whole.is_null()
    else:
        raise SourceError(
            f"{verdicts.file.path}: column {values.name!r} has type {dtype}; "
            f"{name} must be text or an integer"
        )
    verdicts.reject(missing, f"{name} is missing")
    verdicts.reject(wrong & ~missing, f"{name} is not an integer")
    return whole.cast(kind.dtype)


def parse_numbers(values: pl.Series, name: str, verdicts: Verdicts) -> pl.Series:
    """Float32; missing stays null."""
    missing = values.is_null()
    if values.dtype in _TEXT:
        values = values.cast(pl.String).str.strip_chars()
        missing = values.is_null() | (values == "")
    elif not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise SourceError(
            f"{verdicts.file.path}: column {values.name!r} has type {values.dtype}; "
            f"{name} must be a number"
        )
    numbers = values.cast(pl.Float64, strict=False)
    single = numbers.cast(pl.Float32)
    verdicts.reject(numbers.is_null() & ~missing, f"{name} is not a number")
    verdicts.reject(~single.is_finite(), f"{name} is not a finite number")
    return single


def parse_availability(values: pl.Series, verdicts: Verdicts) -> pl.Series:
    """Whether the item may be recommended: words of yes and no, or a stock above zero."""
    if values.dtype == pl.Boolean:
        return values.fill_null(value=True)
    if values.dtype.is_float():
        values = values.fill_nan(None)
    words = parse_text(values, "available", verdicts).str.to_lowercase()
    stock = words.cast(pl.Float64, strict=False)
    yes = words.is_in(_YES) | (words == "") | (stock > 0).fill_null(value=False)
    no = words.is_in(_NO) | (stock <= 0).fill_null(value=False)
    verdicts.reject(~(yes | no) | stock.is_nan(), "available is neither yes nor no")
    return yes


def parse_text(values: pl.Series, name: str, verdicts: Verdicts) -> pl.Series:
    """Cleaned text; missing becomes ''."""
    try:
        return clean_series(as_text(values))
    except pl.exceptions.PolarsError:
        raise SourceError(
            f"{verdicts.file.path}: column {values.name!r} has type {values.dtype}; "
            f"{name} must be text"
        ) from None


def _scale(dtype: pl.DataType) -> int:
    return dtype.scale if isinstance(dtype, pl.Decimal) else 0
