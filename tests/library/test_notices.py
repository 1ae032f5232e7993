"""What is odd about a night's input is told in its answer and on its page, and refused by none."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from flows.console import stage_table
from pwrank.gates.arrival import notices_of, read_drift
from pwrank.gates.missing_days import missing_days, missing_told
from pwrank.ingest import ingest
from pwrank.report.page import render_report
from pwrank.stage_log import StageRecord, write_stage_record
from tests.library.lively_world import (
    NEXT_NOW,
    TOMORROW,
    TONIGHT,
    lively_interactions,
)
from tests.library.test_report import Page, data

FIRST = date(2026, 3, 2)
DAYS = [FIRST + timedelta(days=n) for n in range(30)]
WEEK = DAYS[:7]


def missing(usual, known, *, until, before=None):
    """Indexes of the days told; the night before was of the day after its newest."""
    expected = (before or usual[-1], DAYS[until])
    return [DAYS.index(day) for day in missing_days(usual, known, expected=expected)]


def test_the_last_day_and_all_since_a_source_died_are_told():
    assert missing(WEEK, WEEK, until=7) == [7]
    assert missing(WEEK, WEEK, until=9) == [7, 8, 9]
    assert missing(WEEK, [*WEEK, DAYS[7]], until=7) == []
    # The night before was short of a day, too.
    assert missing(WEEK, WEEK, until=8, before=DAYS[7]) == [7, 8]


def test_a_hole_stays_told():
    usual = [day for day in WEEK if day != DAYS[3]]
    assert missing(usual, [*usual, DAYS[7]], until=7) == [3]
    assert missing(WEEK, [*WEEK, DAYS[9]], until=9) == [7, 8]


def test_a_source_that_is_always_late_is_not_told_of():
    assert missing(WEEK, [*WEEK, DAYS[7]], until=8, before=DAYS[7]) == []
    assert missing(WEEK, WEEK, until=8, before=DAYS[7]) == [7, 8]


def test_days_off_and_files_of_several_days_are_a_rhythm_of_their_own():
    weekdays = [day for day in DAYS[:14] if day.weekday() < 5]
    assert missing(weekdays, weekdays, until=13) == []
    assert missing(DAYS[:28:7], DAYS[:28:7], until=29) == []
    assert missing_days([], WEEK, expected=(FIRST, FIRST)) == []
    assert missing_days(WEEK, [], expected=(FIRST, FIRST)) == []


def test_many_days_are_told_by_the_last_ones():
    assert missing_told([], WEEK) == ""
    told = missing_told(DAYS[7:12], WEEK)
    assert "no rows for 2026-03-11, 2026-03-12, 2026-03-13 and 2 days before, where" in told


@pytest.mark.parametrize(("broken", "told"), [(19, False), (20, True)])
def test_far_more_rejects_than_usual_are_told(lively_world, broken, told):
    rows = lively_interactions(TONIGHT)
    spoilt = [(*row[:2], "soon", *row[3:]) for row in rows[:broken]]
    lively_world.write_drop(f"{TONIGHT}.csv", [*spoilt, *rows[broken:]])
    ingest(lively_world.run(as_of=TOMORROW, now=NEXT_NOW))
    notice = read_drift(lively_world.store, TOMORROW)["tables"]["interactions"]["notice"]
    expected = f"many rejects: {broken} of {len(rows)} new rows of interactions (12%, usually 0%)"
    assert notice.startswith(expected) if told else notice == ""


@pytest.mark.parametrize("gone", [True, False])
def test_a_night_without_its_file_says_so_in_the_answer_and_on_the_page(lively_world, gone):
    drop = lively_world.drops / f"{TONIGHT}.csv"
    if gone:
        drop.unlink()
    else:
        lively_world.write_drop(drop.name, lively_interactions(TONIGHT))
    histories = ingest(lively_world.run(as_of=TOMORROW, now=NEXT_NOW)).histories
    report = read_drift(lively_world.store, TOMORROW)
    notices = notices_of(report, histories, TOMORROW)
    told = f"missing days: no rows for {TONIGHT}, where nearly every day from"
    assert [notice[: len(told)] for notice in notices] == ([told] if gone else [])
    record = StageRecord("ingest", False, histories.rows, 1.0, 1, {"notices": notices})
    write_stage_record(lively_world.store, TOMORROW, record)
    assert (told in stage_table(lively_world.configure(), TOMORROW)[0]) == gone
    assert (told.capitalize() in Page(render_report({**data(), "drift": report})).text) == gone


@pytest.mark.parametrize(("days", "old"), [(1, False), (31, False), (32, True)])
def test_a_log_that_ends_long_before_the_date_is_told(lively_world, days, old):
    """So that whoever gave no date for an old log learns that all of it is past."""
    histories = ingest(lively_world.run(as_of=TOMORROW, now=NEXT_NOW)).histories
    as_of = TONIGHT + timedelta(days=days - 1)
    none = {"tables": {}}
    told = notices_of(none, histories, as_of)
    assert len(told) == old
    newest = f"old log: the newest interaction is of {TONIGHT}, {days - 1} days before {as_of}"
    assert all(notice.startswith(newest) for notice in told)
