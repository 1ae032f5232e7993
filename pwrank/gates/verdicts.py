"""What a gate says, which gates there are, and how a refusal is overridden by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pwrank.errors import ConfigError

CONTRACT = ("rows", "rank gap", "score not finite", "item twice in a list")
"""What readers build on; no reason overrides these."""

DROP_GATES = ("drop columns", "drop rows", "drop items", "drop users")
CATALOGUE_GATES = ("catalogue size", "item texts")
LIST_GATES = (
    "user coverage",
    "list fill",
    "user not owed a list",
    "unknown item",
    "item not available",
    "seen item",
    "score rises with rank",
    "constant scores",
    "personal lists",
    "one item",
    "popularity",
    "cold items",
)
COMPARED_GATES = ("score distribution", "overlap", "churn", "item takeover", "lists lost")
MODEL_GATES = ("validation", "model at work", "encoder", "embeddings", "index recall")
FLOOR_GATES = ("stale model", "items without vector")
OVERRIDABLE = (
    *DROP_GATES,
    *CATALOGUE_GATES,
    *LIST_GATES,
    *COMPARED_GATES,
    *MODEL_GATES,
    *FLOOR_GATES,
)
ALL_GATES = (*CONTRACT, *OVERRIDABLE)

BOUNDS = {
    "score distribution": ("max_score_psi", "max_score_psi_changed"),
    "overlap": ("min_rbo", "min_rbo_changed"),
    "churn": ("max_churn", "max_churn_changed"),
    "item takeover": ("max_takeover",),
    "lists lost": ("max_lists_lost",),
}
"""Gate against the last lists -> its bounds in `[gates]`; how fast catalogues turn over differs."""


@dataclass(frozen=True)
class Verdict:
    """What one gate says of the night."""

    gate: str
    passed: bool
    figure: str
    bound: str
    sample: str = ""
    override: str = ""
    """Why its refusal was overridden; empty if it was not."""

    @property
    def refuses(self) -> bool:
        """Whether it stands in the way."""
        return not (self.passed or self.override)

    def to_json(self) -> dict[str, Any]:
        """For manifests and reports."""
        return dict(self.__dict__)


def checked_overrides(overrides: Mapping[str, str]) -> dict[str, str]:
    """Gate -> reason, with names as they stand in ALL_GATES; `user-coverage` will do too.

    Raises ConfigError for a gate that there is not or that nothing overrides, and without a reason.
    """
    checked = {}
    for told, reason in overrides.items():
        name = told.strip().replace("-", " ").replace("_", " ")
        if name in CONTRACT:
            raise ConfigError(f"--override {told}: readers rely on this gate; mend what it found")
        if name not in OVERRIDABLE:
            near = difflib.get_close_matches(name, OVERRIDABLE, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(OVERRIDABLE)
            raise ConfigError(f"--override {told}: no such gate{hint}\nthe gates: {known}")
        if not reason.strip():
            raise ConfigError(f'--override {told}: give a reason, {told}="…"; it is recorded')
        checked[name] = reason.strip()
    return checked


def overridden(found: Iterable[Verdict], overrides: Mapping[str, str]) -> list[Verdict]:
    """The verdicts, with the reason at each refusal that is overridden."""
    return [
        verdict if verdict.passed else replace(verdict, override=overrides.get(verdict.gate, ""))
        for verdict in found
    ]


def refusal_lines(refused: Iterable[Verdict]) -> list[str]:
    """One line a gate: figure, bound and sample, and how to override it."""
    lines = []
    for verdict in refused:
        sample = f"; e.g. {verdict.sample}" if verdict.sample else ""
        lines.append(f"gate “{verdict.gate}”: {verdict.figure}, wanted {verdict.bound}{sample}")
    return lines


def how_to_override(refused: Sequence[Verdict]) -> str:
    """What to add to the command where the refusal is a mistake, and to the configuration."""
    names = [verdict.gate.replace(" ", "-") for verdict in refused if verdict.gate in OVERRIDABLE]
    if not names:
        return "this cannot be overridden: readers rely on it"
    told = " ".join(f'--override {name}="why"' for name in names)
    once = f"if this is as it should be: run again with {told}"
    bounds = [bound for verdict in refused for bound in BOUNDS.get(verdict.gate, ())]
    if not bounds:
        return once
    return f"{once}\nif every night is so: loosen [gates] {', '.join(bounds)}"
