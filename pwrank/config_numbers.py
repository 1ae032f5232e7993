"""Numbers of a configuration: what is true, or stands in quotes, is none."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


class FromEnvironment(str):
    """A value from where all is text: it may be read as the number that it spells."""

    __slots__ = ()


def _refuse_others(value: Any, kind: str) -> Any:
    """The value, unless pydantic would silently make a number of what is none."""
    quoted = isinstance(value, str) and not isinstance(value, FromEnvironment)
    if quoted or isinstance(value, bool):
        raise ValueError(f"must be {kind}{', without quotes' if quoted else ''}")
    return value


def _integer(value: Any) -> Any:
    return _refuse_others(value, "an integer")


def _number(value: Any) -> Any:
    return _refuse_others(value, "a number")


Integer = Annotated[int, BeforeValidator(_integer)]
Number = Annotated[float, BeforeValidator(_number)]
"""An integer will do."""

PositiveInt = Annotated[Integer, Field(ge=1)]
NonNegativeInt = Annotated[Integer, Field(ge=0)]
Probability = Annotated[Number, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[Number, Field(ge=0.0)]
Positive = Annotated[Number, Field(gt=0.0)]
Share = Annotated[Number, Field(gt=0.0, lt=1.0)]
Dropout = Annotated[Number, Field(ge=0.0, lt=1.0)]
