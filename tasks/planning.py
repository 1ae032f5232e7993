"""The plan of a night: measured on demand, or quickly from earlier nights as it begins."""

from __future__ import annotations

import logging
import time

from pwrank.errors import PwrankError, first_line
from pwrank.plan_log import NightPlan, read_plan, write_plan
from pwrank.planning.incoming import find_waiting
from pwrank.planning.night import Measure, plan_inputs, plan_night
from pwrank.run import Run
from tasks.measuring import peak_memory

logger = logging.getLogger("pwrank")

QUICK_BYTES = 1_000_000
"""Of each table, landed to plan a night that is about to begin. What is landed already is counted
whole: some .6 s per 100,000 items, .1 s per million interactions."""


def make_plan(run: Run, *, retrain: bool = False) -> NightPlan:
    """Plan a night, measuring for some seconds what earlier nights do not tell; keep the plan."""
    measure = Measure(time.perf_counter, peak_memory, calibrate=True, tell=_tell)
    plan = plan_night(run, measure, find_waiting(run), force=retrain)
    write_plan(run.store, plan)
    return plan


def _tell(step: str) -> None:
    logger.info("plan: %s", step)


def note_plan(run: Run, *, retrain: bool = False) -> None:
    """Leave a plan for the page of the night: the one that was made for it, else a quick one."""
    try:
        waiting = find_waiting(run)
        inputs = plan_inputs(run, waiting, force=retrain)
        made = read_plan(run.store, run.as_of)
        if made and made.inputs == inputs:
            return
        measure = Measure(
            time.perf_counter,
            peak_memory,
            calibrate=False,
            tell=logger.debug,
            share_bytes=QUICK_BYTES,
        )
        write_plan(run.store, plan_night(run, measure, waiting, force=retrain))
    except PwrankError as error:
        logger.debug("no plan: %s", first_line(error))  # the stage that meets it tells of it
    except Exception as error:  # noqa: BLE001 - a night that cannot be planned may still run
        logger.info("no plan: %s", first_line(error))
