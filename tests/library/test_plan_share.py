"""Which of many waiting files a plan looks at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pwrank.landing.drops import Pending
from pwrank.planning.incoming import spread_files
from pwrank.sources import SourceFile


def files(count, size=100):
    return [
        Pending(
            file=SourceFile("interactions", Path(f"{number:03d}.csv"), f"{number:03d}.csv"),
            sha256="",
            size=size,
            mtime_ns=0,
            replaces=None,
        )
        for number in range(count)
    ]


def places(found):
    return [int(pending.file.name[:3]) for pending in found]


@pytest.mark.parametrize("week", [5, 6, 7])
def test_days_of_every_age_and_of_every_day_of_the_week_are_looked_at(week):
    some = places(spread_files(files(week * 50), 100 * 50))
    assert len(some) == 50
    assert [place // week for place in some] == list(range(50)), "one of each week"
    days = Counter(place % week for place in some)
    assert len(days) == week
    assert max(days.values()) - min(days.values()) <= 3


def test_all_are_looked_at_if_they_are_few_and_one_at_least():
    assert places(spread_files(files(3), 300)) == [0, 1, 2]
    assert len(spread_files(files(3), 10)) == 1
    assert places(spread_files(files(1), 10)) == [0]


def test_the_last_files_are_among_them():
    assert places(spread_files(files(11), 200))[-1] >= 6
    assert places(spread_files(files(365), 3700))[-1] >= 352
