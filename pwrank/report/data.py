"""What the report is composed of: plain dicts, so that JSON from the lake fits as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict


class Verdict(TypedDict):
    """What became of the night."""

    state: Literal["published", "refused", "staged"]
    text: str
    """One sentence: why, and what a reader should do if anything."""


class Model(TypedDict):
    """The ranker that made the lists."""

    version: str
    trained_as_of: str
    encoder: str
    metrics: NotRequired[Mapping[str, float]]
    """Validation figures as `model.figures["metrics"]` has them."""


class AccountLine(TypedDict):
    """One line of a row account, such as 1,024 rows `rejected` because `no user`."""

    name: str
    rows: int
    note: NotRequired[str]


class Account(TypedDict):
    """Rows that came into a stage and where they are now."""

    stage: str
    lines: Sequence[AccountLine]
    adds_up: NotRequired[bool]
    """Whether the rows that came in are all accounted for."""


class StageRow(TypedDict):
    """One line of the stage table; `dataclasses.asdict(StageRecord)` fits."""

    stage: str
    reused: bool
    rows: int
    seconds: NotRequired[float | None]
    peak_bytes: NotRequired[int | None]
    planned_seconds: NotRequired[float | None]
    """What the plan of the night said; of a training, for the epochs that it took in the end."""
    planned_peak_bytes: NotRequired[int | None]


class Gate(TypedDict):
    """One verdict of the gates; `gates.Verdict.to_json()` fits."""

    gate: str
    passed: bool
    figure: str
    bound: str
    sample: NotRequired[str]
    override: NotRequired[str]
    """Why its refusal did not count."""


class Validation(TypedDict):
    """How the validation figure moved in training."""

    metric: str
    points: Sequence[Sequence[float]]
    """(epoch, value)."""
    chosen: float | None
    """Epoch whose weights were kept."""


class HistoryItem(TypedDict):
    """One interaction of a sample user, newest first."""

    title: str
    item_id: NotRequired[str]
    when: NotRequired[str]


class RankedItem(TypedDict):
    """One row of a sample user's list."""

    rank: int
    title: str
    score: float
    source: str
    item_id: NotRequired[str]
    category: NotRequired[str]
    reasons: NotRequired[Sequence[str]]
    """Titles of the history items that speak most for it."""


class SampleUser(TypedDict):
    """A user with history and list."""

    user_id: str
    history: Sequence[HistoryItem]
    ranking: Sequence[RankedItem]


class ReportData(TypedDict):
    """Everything on the page. What a night does not have is left out, and the page says so."""

    as_of: str
    lake: str
    verdict: Verdict
    model: NotRequired[Model | None]
    accounts: NotRequired[Sequence[Account]]
    stages: NotRequired[Sequence[StageRow]]
    metrics: NotRequired[Mapping[str, Any]]
    """`metrics.json` as evaluate writes it; for a holdout alone: `{"published": to_json()}`."""
    validation: NotRequired[Validation | None]
    gates: NotRequired[Sequence[Gate]]
    degraded: NotRequired[Mapping[str, str]]
    """Step -> what the night did without, and why."""
    drift: NotRequired[Mapping[str, Any]]
    """`drift.json`: the input against the last nights, column by column."""
    users: NotRequired[Sequence[SampleUser]]
