"""Both ends are included. A date that fails stops no other; all that failed are listed."""

import argparse

from flows.commands import Answer, a_date, add_config, add_overrides
from flows.console import check_before, stage_lines
from pwrank.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank backfill`."""
    add_config(parser)
    parser.add_argument("--from", dest="from_date", type=a_date, required=True, metavar="DATE")
    parser.add_argument("--to", dest="to_date", type=a_date, required=True, metavar="DATE")
    parser.add_argument(
        "--missing-only", action="store_true", help="leave out dates that are published already"
    )
    parser.add_argument(
        "--known-at", metavar="now|TIME", help="see rows that arrived after a date was published"
    )
    add_overrides(parser)


def run(options: argparse.Namespace) -> Answer:
    """Run the backfill flow and tell what became of each date."""
    check_before(options.config)
    from flows.local_server import prefect_api

    if options.to_date < options.from_date:
        raise ConfigError(f"--from {options.from_date} is after --to {options.to_date}; swap them")
    with stage_lines(), prefect_api("flows.backfill"):
        from flows.backfill import backfill

        outcome = backfill(
            options.config.absolute(),
            options.from_date,
            options.to_date,
            missing_only=options.missing_only,
            known_at=options.known_at,
            overrides=dict(options.override),
        )
    text = "\n".join(f"{day.as_of}  {day.outcome}" for day in outcome)
    return Answer(text, [{"as_of": day.as_of, "outcome": day.outcome} for day in outcome])
