"""Days without a drop where each usually has one: a source that has died says nothing itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta

DAY = timedelta(days=1)
SHOWN = 3


def missing_days(
    usual: Sequence[date], known: Collection[date], *, expected: tuple[date, date]
) -> list[date]:
    """Days that lack a drop, ascending; none where usual days follow no rhythm of days.

    usual: the newest days that the last published night had seen, ascending; known: days with
    rows tonight; expected: the last whole day before that night's cut and before tonight's. A
    source that is always some days late is so tonight, too: only what is later than usual is told.
    """
    if not usual or not known:
        return []
    if len(_days(usual[0], usual[-1])) > len(usual) + 1:
        return []  # days off are usual here: weekends, or files of several days
    newest = max(known)
    since = _days(newest + DAY, expected[1])
    late = len(since) > len(_days(usual[-1] + DAY, expected[0]))
    inner = [day for day in _days(usual[0], newest) if day not in known]
    return [*inner, *(since if late else ())]


def _days(first: date, last: date) -> list[date]:
    """Both ends included; none where the last is before the first."""
    return [first + n * DAY for n in range((last - first).days + 1)]


def missing_told(days: Sequence[date], usual: Sequence[date]) -> str:
    """A word on them; '' where there are none."""
    if not days:
        return ""
    shown = ", ".join(map(str, days[-SHOWN:]))
    more = f" and {len(days) - SHOWN} days before" if len(days) > SHOWN else ""
    return (
        f"missing days: no rows for {shown}{more}, where nearly every day from {usual[0]} to "
        f"{usual[-1]} has some; is a file missing?"
    )
