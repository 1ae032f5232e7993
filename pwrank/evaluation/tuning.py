"""The baselines of the board: a small grid each, chosen on a split inside the training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pwrank.errors import ConfigError
from pwrank.evaluation import metrics, neumf, sasrec
from pwrank.evaluation.baselines import Baseline, popularity_list, recent_popularity
from pwrank.evaluation.item_baselines import EASE_MAX_ITEMS, ease, item_knn
from pwrank.evaluation.known_log import KnownLog, SplitRule, inner_split
from pwrank.evaluation.neumf import fit_neumf
from pwrank.evaluation.neumf_network import DIM as NEUMF_DIM
from pwrank.evaluation.sasrec import fit_sasrec
from pwrank.evaluation.vector_baselines import NO_IMPLICIT, bpr, has_implicit, ials, text_only
from pwrank.store import Progress

Settings = Mapping[str, Any]
Judge = Callable[[Baseline], float]
"""NDCG@10 of a baseline on the validation pairs."""

KNN_MAX_ITEMS = 20_000
"""Most popular items that item-kNN knows: 30 s a setting at this size."""

TUNING_ITEMS = 5_000
"""Most popular items on which EASE's setting is chosen; the chosen one is fitted on
EASE_MAX_ITEMS, which takes up to eight times as long."""

FACTORS = 64
"""Of iALS and BPR."""

FACTOR_CELLS = 50_000_000
"""Users and items times factors, at most: 200 MB, and as much while they are fitted."""


@dataclass(frozen=True)
class Family:
    """One kind of baseline, and the settings among which validation chooses."""

    grid: tuple[Settings, ...]
    fit: Callable[..., Baseline]
    """(log, **settings) -> baseline."""
    refusal: Callable[[KnownLog], str] = lambda _log: ""
    """Why it cannot be had on this log; '' if it can."""
    tuned: Callable[..., Baseline] | None = None
    """Fitted instead while settings are compared, where `fit` takes too long."""
    stopped: Callable[[KnownLog, Judge], Settings] | None = None
    """(log, judge) -> settings found by early stopping, where there is no grid."""
    most: int = 0
    """Settings that early stopping compares at most."""


@dataclass(frozen=True)
class Tuned:
    """A baseline fitted on all training rows with the settings that validation chose."""

    baseline: Baseline
    settings: Settings
    validation: float
    """NDCG@10 of the settings on the inner split; NaN where there was nothing to choose."""
    compared: int
    """Settings compared."""

    def to_json(self) -> dict[str, Any]:
        """How it was chosen."""
        figure = self.validation if self.validation == self.validation else None
        return {
            "settings": dict(self.settings),
            "validation_ndcg@10": figure,
            "settings_compared": self.compared,
        }


def _grid(**values: Iterable[Any]) -> tuple[Settings, ...]:
    """Every combination."""
    found: list[dict[str, Any]] = [{}]
    for name, choices in values.items():
        found = [{**settings, name: choice} for settings in found for choice in choices]
    return tuple(found)


def _seen(log: KnownLog) -> Any:
    return log.matrix if log.exclude_seen else None


def _popularity(log: KnownLog) -> Baseline:
    return popularity_list(log.rows, log.items, seen=_seen(log))


def _recent(log: KnownLog, *, days: int) -> Baseline:
    return recent_popularity(log.rows, log.items, cut=log.cut, days=days, seen=_seen(log))


def _item_knn(log: KnownLog, *, neighbours: int, shrinkage: float) -> Baseline:
    known = log.matrix.head(KNN_MAX_ITEMS)
    return item_knn(
        known, neighbours=neighbours, shrinkage=shrinkage, exclude_seen=log.exclude_seen
    )


def _ease(log: KnownLog, *, regularisation: float, most: int = EASE_MAX_ITEMS) -> Baseline:
    return ease(log.matrix.head(most), regularisation=regularisation, exclude_seen=log.exclude_seen)


def _no_times(log: KnownLog) -> str:
    return "" if log.has_times else "the interactions have no times"


def _no_text(log: KnownLog) -> str:
    told = log.vectors is not None and log.vectors.any()
    return "" if told else "the items have no text"


def _no_factors(log: KnownLog) -> str:
    if not has_implicit():
        return NO_IMPLICIT
    rows = len(log.matrix.users) + len(log.matrix.items)
    most = FACTOR_CELLS // FACTORS
    return f"{rows:,} users and items are more than {most:,}" if rows > most else ""


def _too_many_items(log: KnownLog) -> str:
    if sasrec.epochs_affordable(log):
        return ""
    rows, items = log.rows.height, len(log.items)
    return (
        f"a full softmax over {items:,} items for {rows:,} interactions takes more than "
        f"{sasrec.MOST_WORK:.0e} multiplications"
    )


def _too_many_pairs(log: KnownLog) -> str:
    rows, most = len(log.matrix.users) + len(log.matrix.items), FACTOR_CELLS // (2 * NEUMF_DIM)
    if rows > most:
        return f"{rows:,} users and items are more than {most:,}"
    if neumf.epochs_affordable(log):
        return ""
    return (
        f"{log.rows.height:,} interactions, and {rows:,} users and items to judge it by, take more "
        f"than {neumf.MOST_WORK:.0e} multiplications"
    )


def _trained(
    train: Callable[..., tuple[Baseline, int]],
    affordable: Callable[[KnownLog], int],
    refusal: Callable[[KnownLog], str],
    *,
    most: int,
) -> Family:
    """A network: train(log, epochs=, judge=) gives its lists and the epochs behind them."""

    def fit(log: KnownLog, *, epochs: int) -> Baseline:
        return train(log, epochs=epochs)[0]

    def stopped(log: KnownLog, judge: Judge) -> Settings:
        return {"epochs": train(log, epochs=affordable(log), judge=judge)[1]}

    return Family((), fit, refusal, stopped=stopped, most=most)


FAMILIES: Mapping[str, Family] = {
    "popularity": Family(({},), _popularity),
    "recent_popularity": Family(_grid(days=(1, 2, 3, 7, 14, 30, 90)), _recent, _no_times),
    "item_knn": Family(_grid(neighbours=(50, 200), shrinkage=(0.0, 10.0, 100.0)), _item_knn),
    "ease": Family(
        _grid(regularisation=(30.0, 100.0, 300.0, 1000.0)),
        _ease,
        tuned=partial(_ease, most=TUNING_ITEMS),
    ),
    "ials": Family(
        _grid(factors=(FACTORS,), regularisation=(0.1, 3.0, 30.0), alpha=(1.0, 10.0)),
        ials,
        _no_factors,
    ),
    "bpr": Family(
        _grid(factors=(FACTORS,), learning_rate=(0.01, 0.05), regularisation=(0.01, 0.05)),
        bpr,
        _no_factors,
    ),
    "neumf": _trained(fit_neumf, neumf.epochs_affordable, _too_many_pairs, most=neumf.EPOCHS[1]),
    "sasrec": _trained(
        fit_sasrec, sasrec.epochs_affordable, _too_many_items, most=sasrec.EPOCHS[1]
    ),
    "text_only": Family(_grid(last=(1, 5, 20, 0), centred=(False, True)), text_only, _no_text),
}
"""By name, in the order of the board."""


def chosen_names(wanted: Iterable[str] | None) -> list[str]:
    """Names of FAMILIES in the order of the board. Raises ConfigError for one that is none."""
    names = list(FAMILIES) if wanted is None else [name.strip() for name in wanted]
    unknown = [name for name in names if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"--baselines {', '.join(unknown)}: choose from {', '.join(FAMILIES)}")
    return [name for name in FAMILIES if name in names]


def fits_planned(names: Iterable[str]) -> int:
    """Settings that will be compared at most: what a progress bar needs beforehand."""
    most = {name: len(FAMILIES[name].grid) or FAMILIES[name].most for name in names}
    return sum(count for count in most.values() if count > 1)


def tune_baselines(
    log: KnownLog, rule: SplitRule, names: Iterable[str], *, progress: Progress | None = None
) -> tuple[dict[str, Tuned], dict[str, str]]:
    """Fit every named baseline with its best settings; and why others were skipped.

    Only `log` is seen: settings are compared by NDCG@10 on its inner split, where the first of
    equals wins, and the best ones are fitted again on all of it.
    """
    fit_log, pairs = inner_split(log, rule)
    users = pairs["user_id"].unique().sort()

    def judge(baseline: Baseline) -> float:
        lists = baseline.rank(users, k=10)
        return float(metrics.ranking_metrics(lists, pairs, [10])["ndcg@10"].to_numpy().mean())

    def told(fits: int) -> None:
        if progress:
            progress(fits)

    tuned, skipped = {}, {}
    for name in names:
        family = FAMILIES[name]
        if refusal := family.refusal(log):
            skipped[name] = refusal
            continue
        tuned[name] = _tune(family, log, fit_log, judge, told)
    return tuned, skipped


def _tune(family: Family, log: KnownLog, fit_log: KnownLog, judge: Judge, told: Progress) -> Tuned:
    if family.stopped:
        return _stop_early(family.stopped, family, log, fit_log, judge=judge, told=told)
    best, highest = family.grid[0], float("nan")
    for settings in family.grid if len(family.grid) > 1 else ():
        figure = judge((family.tuned or family.fit)(fit_log, **settings))
        if not figure <= highest:
            best, highest = settings, figure
        told(1)
    return Tuned(family.fit(log, **best), best, highest, len(family.grid))


def _stop_early(
    stopped: Callable[[KnownLog, Judge], Settings],
    family: Family,
    log: KnownLog,
    fit_log: KnownLog,
    *,
    judge: Judge,
    told: Progress,
) -> Tuned:
    """Every epoch is a setting that is judged."""
    figures: list[float] = []

    def judge_epoch(baseline: Baseline) -> float:
        figures.append(judge(baseline))
        told(1)
        return figures[-1]

    settings = stopped(fit_log, judge_epoch)
    return Tuned(family.fit(log, **settings), settings, max(figures), len(figures))
