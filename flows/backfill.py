"""Backfill: the nightly run for a range of past dates, oldest first; one failure stops no other."""

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from prefect import flow

from flows.nightly import nightly
from flows.runs import BackfillDay, first_error, is_published
from pwrank.errors import ConfigError
from pwrank.gates.verdicts import checked_overrides

logger = logging.getLogger("pwrank")


def backfill_name() -> str:
    """Name of the flow run: the range."""
    from prefect.runtime import flow_run

    parameters = flow_run.parameters
    return f"backfill-{parameters['from_date']}-{parameters['to_date']}"


def days(from_date: date, to_date: date) -> Iterator[date]:
    """Every date of the range, both ends included. Raises ConfigError if it is empty."""
    if to_date < from_date:
        raise ConfigError(f"--from {from_date} is after --to {to_date}; swap them")
    for number in range((to_date - from_date).days + 1):
        yield from_date + timedelta(days=number)


@flow(name="backfill", flow_run_name=backfill_name, persist_result=False)
def backfill(
    config: Path,
    from_date: date,
    to_date: date,
    *,
    missing_only: bool = False,
    known_at: str | None = None,
    overrides: dict[str, str] | None = None,
) -> list[BackfillDay]:
    """Run and publish each date as it would have been that night.

    missing_only: leave out dates that are published already. overrides: gates whose refusal does
    not count on any date of the range, each with the reason to be recorded. Returns what became of
    each date; raises the first error once every date was tried.
    """
    checked_overrides(overrides or {})
    outcome = []
    for day in days(from_date, to_date):
        if missing_only and is_published(config, day):
            tried = BackfillDay(day, "already published")
        else:
            state = nightly(
                config, as_of=day, known_at=known_at, overrides=overrides, return_state=True
            )
            tried = BackfillDay.from_state(day, state)
        logger.info("%s: %s", tried.as_of, tried.outcome)
        outcome.append(tried)
    if error := first_error(outcome):
        raise error
    return outcome
