"""What the quality board says: one table, how each baseline was tuned, and one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pwrank.evaluation.figures import Figure, Figures, Slice, finite
from pwrank.evaluation.variants import Form, spread_over_seeds

PRODUCT = "pwrank"
WITHOUT_TEXT = "pwrank_without_text"

PARTS: Mapping[str, str] = {
    "with_history": "users with a history",
    "cold_items": "items with 0 to 5 interactions, users with a history",
    "cold_users": "users with 1 to 5 interactions",
    "new_users": "users without a history",
    "all": "all users",
}
"""Parts of the board by name; the table is about the first three."""

_WIDTH = 28
_CELL = 27


@dataclass(frozen=True)
class Board:
    """The product and the baselines on the same split of the same files."""

    told: str
    """What is held out, in words."""
    rule: str
    as_of: date
    exclude_seen: bool
    account: Mapping[str, int]
    """From the held-out rows to the pairs judged, as in `holdout`."""
    slices: Mapping[str, Slice]
    """By the names of PARTS; differences are the product minus another."""
    lists: Mapping[str, Mapping[str, float]]
    """By ranker: coverage, Gini, novelty and diversity of the lists of users with a history."""
    forms: Mapping[str, Form]
    """By the rankers that are the product: which form of it."""
    tuning: Mapping[str, Mapping[str, Any]]
    """By baseline: settings, how many were compared, NDCG@10 on validation."""
    skipped: Mapping[str, str]
    """By baseline: why it has no row."""

    @property
    def best_baseline(self) -> str:
        """The baseline with the highest NDCG@10 over users with a history; '' without any.

        The first of equals, and the simpler ones come first.
        """
        return max(self.tuning, key=lambda name: self._main(name)["ndcg@10"].value, default="")

    @property
    def answer(self) -> str:
        """Whether the product beats the baselines here, and whether its text is why."""
        return f"{self._against_baselines()} {self._worth_of_text()}"

    def _against_baselines(self) -> str:
        question = "Does pwrank beat the best baseline?"
        best = self.best_baseline
        if not best:
            return f"{question} None was run, so this board cannot tell."
        own, other = self._main(PRODUCT)["ndcg@10"], self._main(best)["ndcg@10"]
        gain = self._differences(best)
        share = f" ({own.value / other.value - 1:+.1%})" if other.value else ""
        return (
            f"{question} {_verdict(gain['ndcg@10'])}: it has NDCG@10 {own.value:.4f}, "
            f"{best} {other.value:.4f}; difference {_interval(gain['ndcg@10'])}{share}, "
            f"recall@20 {_interval(gain['recall@20'])}."
        )

    def _worth_of_text(self) -> str:
        """What the ablation says: the same product with texts that say nothing."""
        question = "Does the large model help on this catalogue?"
        if WITHOUT_TEXT not in self.lists:
            return f"{question} --ablations tells."
        gain, cold = self._differences(WITHOUT_TEXT), self.slices["cold_items"]
        told = {"NDCG@10": gain["ndcg@10"], "recall@20": gain["recall@20"]}
        if cold.users:
            told["recall@20 on cold items"] = cold.differences[WITHOUT_TEXT]["recall@20"]
        verdict = max((_verdict(figure) for figure in told.values()), key=_VERDICTS.index)
        adds = ", ".join(f"{_interval(figure)} {name}" for name, figure in told.items())
        return f"{question} {verdict}: its text adds {adds}."

    def to_json(self) -> dict[str, Any]:
        """JSON values only; null where a figure cannot be had."""
        return {
            "held_out": self.told,
            "rule": self.rule,
            "as_of": self.as_of.isoformat(),
            "exclude_seen": self.exclude_seen,
            "account": dict(self.account),
            "slices": {name: part.to_json() for name, part in self.slices.items()},
            "lists": {
                name: {figure: finite(value) for figure, value in figures.items()}
                for name, figures in self.lists.items()
            },
            "tuning": {name: dict(told) for name, told in self.tuning.items()},
            "skipped": dict(self.skipped),
            "best_baseline": self.best_baseline,
            "answer": self.answer,
        }

    def table(self) -> str:
        """Plain text for a terminal."""
        main = self.slices["with_history"]
        kind = "items new to the user" if self.exclude_seen else "repeats count"
        title = (
            f"{self.told}; {main.users:,} users with a history, {main.relevant:,} items to find "
            f"({kind}); 95 % intervals over users"
        )
        turned = self._of(Form.TURNED_DIAL)
        lines = [
            title,
            "",
            self._head(),
            *(self._row(name) for name in self.lists if name not in turned),
            "",
            *(self._difference_row(name) for name in self._others),
            "",
            *self._spread(),
            *self._dials(),
            self._everybody(),
            *(_tuned_line(name, told) for name, told in self.tuning.items()),
            *(f"{name}: skipped, {reason}" for name, reason in self.skipped.items()),
            "",
            self.answer,
        ]
        return "\n".join(lines)

    def _main(self, name: str) -> Figures:
        return self.slices["with_history"].rankers[name]

    def _differences(self, name: str) -> Figures:
        return self.slices["with_history"].differences[name]

    def _of(self, form: Form) -> list[str]:
        """The rankers of that form, in the order of the board."""
        return [name for name in self.lists if self.forms.get(name) is form]

    @property
    def _others(self) -> list[str]:
        """What the product is compared with: no other form of itself, but that without text."""
        return [n for n in self.lists if self.forms.get(n) in {None, Form.WITHOUT_TEXT}]

    def _spread(self) -> list[str]:
        seeds = self._of(Form.OTHER_SEED)
        if not seeds:
            return []
        main, metrics = self.slices["with_history"], ("ndcg@10", "recall@20")
        return [spread_over_seeds(main, [PRODUCT, *seeds], metrics), ""]

    def _dials(self) -> list[str]:
        """What each dial of `[rerank]` costs and brings; nothing unless they were turned."""
        names = self._of(Form.TURNED_DIAL)
        if not names:
            return []
        columns = ("NDCG@10", "recall@20", *self.lists[PRODUCT], "recall@20 cold")
        head = f"{'[rerank]':<{_WIDTH}}" + "".join(f"{name:<14}" for name in columns)
        return [head.rstrip(), *(self._dial_row(name) for name in (PRODUCT, *names)), ""]

    def _dial_row(self, name: str) -> str:
        cold = self.slices["cold_items"].rankers[name]["recall@20"].value
        main = (self._main(name)[metric].value for metric in ("ndcg@10", "recall@20"))
        figures = (*main, *self.lists[name].values(), cold)
        label = "as configured" if name == PRODUCT else name
        return f"{label:<{_WIDTH}}" + "".join(f"{_number(f):<14}" for f in figures).rstrip()

    @property
    def _third(self) -> str:
        """With one item to find, a hit is the recall, and its rank tells more."""
        return "mrr@10" if self.rule == "leave-last" else "hit_rate@10"

    def _head(self) -> str:
        cold, few = self.slices["cold_items"], self.slices["cold_users"]
        third = {"mrr@10": "MRR@10", "hit_rate@10": "hit@10"}[self._third]
        return f"{'':<{_WIDTH}}" + "".join(
            [
                *(f"{name:<{_CELL}}" for name in ("NDCG@10", "recall@20", third)),
                f"{'coverage@10':<13}{'Gini@10':<9}",
                f"{f'recall@20: cold items (n={cold.users:,})':<34}",
                f"cold users (n={few.users:,})",
            ]
        )

    def _row(self, name: str) -> str:
        figures, lists = self._main(name), self.lists[name]
        cells = [
            f"{_interval(figures[m], ''):<{_CELL}}" for m in ("ndcg@10", "recall@20", self._third)
        ]
        cold, few = (
            self.slices[p].rankers[name]["recall@20"] for p in ("cold_items", "cold_users")
        )
        coverage, gini = _number(lists["coverage@10"]), _number(lists["gini@10"])
        rest = f"{coverage:<13}{gini:<9}{_number(cold.value):<34}{_number(few.value)}"
        return f"{name:<{_WIDTH}}" + "".join(cells) + rest

    def _difference_row(self, name: str) -> str:
        figures = self._differences(name)
        cells = [f"{_interval(figures[m]):<{_CELL}}" for m in ("ndcg@10", "recall@20", self._third)]
        return f"{'minus ' + name:<{_WIDTH}}" + "".join(cells).rstrip()

    def _everybody(self) -> str:
        everybody, new = self.slices["all"], self.slices["new_users"]
        turned = self._of(Form.TURNED_DIAL)
        told = (
            f"{name} {figures['ndcg@10'].value:.4f}/{figures['recall@20'].value:.4f}"
            for name, figures in everybody.rankers.items()
            if name not in turned
        )
        return (
            f"all {everybody.users:,} users, {new.users:,} of them without a history "
            f"(NDCG@10/recall@20): {', '.join(told)}"
        )


def _tuned_line(name: str, told: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in told["settings"].items()) or "nothing"
    figure = told["validation_ndcg@10"]
    if figure is None:
        return f"{name}: {settings} to choose" if settings == "nothing" else f"{name}: {settings}"
    return (
        f"{name}: {settings} (best of {told['settings_compared']} on validation, "
        f"NDCG@10 {figure:.4f})"
    )


_VERDICTS = ("No", "It cannot be told", "Yes")
"""Of several figures the last one holds: what helps one thing helps."""


def _verdict(difference: Figure) -> str:
    no, open_yet, yes = _VERDICTS
    if difference.low > 0:
        return yes
    return no if difference.high < 0 else open_yet


def _interval(figure: Figure, sign: str = "+") -> str:
    low, high = _number(figure.low, sign), _number(figure.high, sign)
    return f"{_number(figure.value, sign)} [{low}, {high}]"


def _number(value: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.4f}"
