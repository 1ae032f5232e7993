"""One module a command: its arguments, and what it answers as text and as data."""

import argparse
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Answer:
    """What a command has to say."""

    text: str
    data: Any
    exit_code: int = 0
    error: str = ""
    """What is wrong all the same, for standard error."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`, which nearly every command takes."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("pwrank.toml"),
        metavar="FILE",
        help="configuration (default: pwrank.toml)",
    )


def add_as_of(parser: argparse.ArgumentParser, meaning: str) -> None:
    """`--as-of`, with what it means when it is left out."""
    parser.add_argument("--as-of", type=a_date, metavar="YYYY-MM-DD", help=meaning)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """`--override GATE=REASON`, as often as needed."""
    parser.add_argument(
        "--override",
        type=an_override,
        action="append",
        default=[],
        metavar="GATE=REASON",
        help="publish although this gate refuses; the reason is recorded (may be repeated)",
    )


def an_override(text: str) -> tuple[str, str]:
    """A gate and why its refusal does not count tonight."""
    gate, separator, reason = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not GATE=REASON")
    return gate, reason


def a_date(text: str) -> date:
    """A date argument."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-11-24") from None


def a_count(text: str) -> int:
    """A whole number of 1 or more."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")


def today(time_zone: str) -> date:
    """The date that it is now in a zone."""
    return datetime.now(UTC).astimezone(ZoneInfo(time_zone)).date()


def plain(text: str, most: int = 60) -> str:
    """Titles and ids are input: control characters must not reach the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:most]
