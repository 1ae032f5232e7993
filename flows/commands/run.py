"""Safe to run again: what is done is recognised, and a killed run is finished."""

import argparse
from typing import TYPE_CHECKING

from flows.commands import Answer, add_as_of, add_config, add_overrides
from flows.console import check_before, stage_lines, stage_table

if TYPE_CHECKING:
    from pwrank.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank run`."""
    add_config(parser)
    add_as_of(parser, "nothing from 00:00 of this date on exists for the run (default: today)")
    parser.add_argument(
        "--known-at",
        metavar="now|TIME",
        help="see rows that arrived after the date was first published (default: do not)",
    )
    parser.add_argument("--retrain", action="store_true", help="train even if not due")
    add_overrides(parser)


def run(options: argparse.Namespace) -> Answer:
    """Run the nightly flow and tell what was published."""
    config = check_before(options.config)
    from flows.local_server import prefect_api

    with stage_lines(), prefect_api():
        from flows.nightly import nightly

        published = nightly(
            options.config.absolute(),
            as_of=options.as_of,
            known_at=options.known_at,
            retrain=options.retrain,
            overrides=dict(options.override),
        )
    table, data = stage_table(config, published.as_of)
    state = "was published already, unchanged" if published.reused else "is published"
    current = " and current" if published.current else f"; {_what_is_current(config)}"
    text = (
        f"{table}\n\n{published.as_of} {state}{current}: {published.users:,} users, "
        f"{published.rows:,} rows\n"
        f"{config.lake / 'rankings' / 'v1' / f'as_of={published.as_of}'}"
    )
    answer = {
        "as_of": published.as_of,
        "version": published.version,
        "users": published.users,
        "rows": published.rows,
        "reused": published.reused,
        "current": published.current,
        "stages": data,
    }
    return Answer(text, answer)


def _what_is_current(config: "Config") -> str:
    """Which date readers get instead, and until when."""
    from pwrank.publication import read_current
    from pwrank.store import Store

    pointer = read_current(Store(config.lake)) or {}
    held = pointer.get("held_until_after")
    until = f" until a date after {held} is published: it was rolled back to" if held else ""
    return f"{pointer.get('as_of')} stays current{until}"
