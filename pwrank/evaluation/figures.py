"""What an evaluation says: figures with intervals, as JSON for programs and a table for people."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

PUBLISHED = "published"
"""Name of the judged lists among the rankers."""

SLICES: Mapping[str, str] = {
    "all": "all users",
    "with_list": "users who had a list",
    "cold_users": "users with 0 to 5 interactions",
    "new_users": "users with no interaction",
    "cold_items": "items with 0 to 5 interactions",
    "new_items": "items with no interaction",
}
"""Slices by name, counted before the cut; the item slices keep only such items of the catalogue."""

_SHOWN = {
    "ndcg@10": "NDCG@10",
    "recall@20": "recall@20",
    "hit_rate@10": "hit@10",
    "mrr@10": "MRR@10",
}
_SHOWN_LISTS = ("coverage@10", "gini@10", "novelty@10", "diversity@10")


@dataclass(frozen=True)
class Figure:
    """A mean over users with its bootstrap interval (95 %); NaN where there is no user."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """`value, low, high`; null for NaN."""
        return {name: finite(getattr(self, name)) for name in ("value", "low", "high")}


Figures = Mapping[str, Figure]
"""By metric, such as `ndcg@10`."""


@dataclass(frozen=True)
class Slice:
    """One part of the users or items, every ranker judged on it."""

    users: int
    relevant: int
    """(user, item) pairs to be found."""
    rankers: Mapping[str, Figures]
    """`published` and each baseline."""
    differences: Mapping[str, Figures]
    """published - baseline, on the same users (paired)."""

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return {
            "users": self.users,
            "relevant": self.relevant,
            "rankers": _nested(self.rankers),
            "differences": _nested(self.differences),
        }


@dataclass(frozen=True)
class Evaluation:
    """Published lists against what users then did, next to baselines."""

    as_of: date
    exclude_seen: bool
    """Whether only items new to the user count as relevant."""
    account: Mapping[str, int]
    """Rows and users from the holdout as given to the pairs judged; see `holdout.account`."""
    slices: Mapping[str, Slice]
    """By the names of SLICES."""
    lists: Mapping[str, Mapping[str, float]]
    """By ranker: coverage@10, gini@10, novelty@10, diversity@10 over the judged users' lists."""
    calibration: Mapping[str, Any] = field(default_factory=dict)
    """`listed` (users with a list) and `judged`: rows, calibration_error, log_loss, reliability;
    empty when the scores are no probabilities."""

    @property
    def strongest_baseline(self) -> str:
        """The baseline with the highest NDCG@10 over all users; '' without baselines."""
        rankers = {name: r for name, r in self.slices["all"].rankers.items() if name != PUBLISHED}

        def strength(name: str) -> tuple[float, str]:
            return finite(rankers[name]["ndcg@10"].value) or 0.0, name

        return max(rankers, key=strength, default="")

    def to_json(self, slices: Container[str] = SLICES) -> dict[str, Any]:
        """JSON values only, of these slices; null where a figure cannot be had."""
        shown = {name: part for name, part in self.slices.items() if name in slices}
        return {
            "as_of": self.as_of.isoformat(),
            "exclude_seen": self.exclude_seen,
            "account": dict(self.account),
            "slices": {name: part.to_json() for name, part in shown.items()},
            "lists": {
                ranker: {name: finite(value) for name, value in figures.items()}
                for ranker, figures in self.lists.items()
            },
            "calibration": dict(self.calibration),
            "strongest_baseline": self.strongest_baseline,
        }

    def table(self, slices: Container[str] = SLICES) -> str:
        """Plain text for a terminal: a block for each of the slices, then the lists."""
        account = ", ".join(f"{count:,} {name}" for name, count in _told(self.account).items())
        kind = "items new to the user" if self.exclude_seen else "repeats count"
        lines = [f"Lists of {self.as_of} against what users then did ({kind}): {account}"]
        for name, part in self.slices.items():
            same_as_all = name == "with_list" and part.users == self.slices["all"].users
            if name not in slices or same_as_all:
                continue
            lines += ["", f"{SLICES[name]}: {part.users:,} users, {part.relevant:,} items to find"]
            lines += _slice_lines(part, self.strongest_baseline) if part.users else []
        lines += ["", f"{'lists of the users judged':<28}" + _cells(_SHOWN_LISTS)]
        for ranker, figures in self.lists.items():
            values = [_number(figures.get(name, math.nan)) for name in _SHOWN_LISTS]
            lines.append(f"  {ranker:<26}" + _cells(values))
        return "\n".join(lines) + "\n"


def finite(value: float) -> float | None:
    """Make a value fit for JSON: NaN and infinities become null."""
    return float(value) if math.isfinite(value) else None


def _nested(rankers: Mapping[str, Figures]) -> dict[str, dict[str, Any]]:
    return {
        name: {metric: figure.to_json() for metric, figure in figures.items()}
        for name, figures in rankers.items()
    }


def _told(account: Mapping[str, int]) -> dict[str, int]:
    """Put the counts a reader asks for first into words; zeros left out."""
    words = {
        "users_judged": "users judged",
        "users_without_list": "of them without a list (count as 0)",
        "relevant": "items to find",
        "outside_catalogue": "of them outside the catalogue (count as misses)",
        "seen_before": "left out as seen before",
        "repeated": "repeats collapsed",
        "without_id": "without a user or item id of this lake",
        "not_interest": "no interest by [clean]",
        "before_the_cut": "rows say they are from before that date (judged like the others)",
        "without_time": "rows do not say when they happened (taken to be from that date on)",
    }
    return {words[key]: account[key] for key in words if account.get(key)}


def _slice_lines(part: Slice, baseline: str) -> list[str]:
    lines = [f"{'':<28}" + _cells(_SHOWN.values())]
    for ranker, figures in part.rankers.items():
        cells = [_with_interval(figures[metric]) for metric in _SHOWN if metric in figures]
        lines.append(f"  {ranker:<26}" + _cells(cells))
    if not baseline:
        return lines
    figures = part.differences[baseline]
    cells = [_with_interval(figures[metric], sign="+") for metric in _SHOWN if metric in figures]
    return [*lines, f"  {'minus ' + baseline:<26}" + _cells(cells)]


def _cells(values: Iterable[str]) -> str:
    return "".join(f"{value:<28}" for value in values).rstrip()


def _with_interval(figure: Figure, sign: str = "") -> str:
    numbers = [_number(value, sign) for value in (figure.value, figure.low, figure.high)]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def _number(value: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.4f}"
