"""The product in other forms on the same board: trained from other seeds, re-ranked otherwise."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from pwrank.datasets import DatasetRef
from pwrank.evaluation.figures import Slice
from pwrank.run import Run


class Form(Enum):
    """What the lists of the product are, beside those of the baselines."""

    AS_CONFIGURED = auto()
    WITHOUT_TEXT = auto()
    OTHER_SEED = auto()
    TURNED_DIAL = auto()


@dataclass(frozen=True)
class ProductLists:
    """Staged lists of the product in one of its forms."""

    form: Form
    staged: DatasetRef


DIALS: Mapping[str, tuple[float, ...]] = {
    "diversity": (0.1, 0.3, 0.5, 0.7),
    "novelty": (0.1, 0.3, 0.5, 0.7),
    "coverage": (0.2, 0.4, 0.6, 0.8, 1.0),
    "explore": (0.0, 0.05, 0.15, 0.3, 0.7, 0.85),
}
"""Values of `[rerank]` that are tried, each alone."""


def other_seeds(run: Run, seeds: int) -> Iterator[tuple[str, Run]]:
    """The run from the next seeds, so that there are `seeds` of them with its own; by name."""
    for seed in range(run.config.seed + 1, run.config.seed + seeds):
        yield f"seed {seed}", replace(run, config=run.config.model_copy(update={"seed": seed}))


def other_dials(run: Run) -> Iterator[tuple[str, Run]]:
    """The run with one dial of `[rerank]` turned, by name; not where it stands already."""
    rules = run.config.rerank
    for dial, values in DIALS.items():
        for value in values:
            if value != getattr(rules, dial):
                turned = {"rerank": rules.model_copy(update={dial: value})}
                yield f"{dial} {value:g}", replace(run, config=run.config.model_copy(update=turned))


def spread_over_seeds(part: Slice, names: Sequence[str], metrics: tuple[str, ...]) -> str:
    """One line: mean, least, most and standard deviation over two seeds or more, by name."""
    told = []
    for metric in metrics:
        values = [part.rankers[name][metric].value for name in names]
        told.append(
            f"{metric} mean {statistics.fmean(values):.4f}, {min(values):.4f} to "
            f"{max(values):.4f}, standard deviation {statistics.stdev(values):.4f}"
        )
    return f"over {len(names)} seeds: " + "; ".join(told)
