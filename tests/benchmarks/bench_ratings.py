"""Ratings: k random folds of a log, as papers report RMSE, by the heads and the baselines.

    python tests/benchmarks/bench_ratings.py [--config pwrank.toml] [--users 600] [--folds 5]
        [--seed 0] [--json]

The source of the configuration is read into a lake of its own, `<lake>-benchmark/ratings`, and its
items are embedded. Every rated row then falls into one fold; each fold is foretold by what the
night would learn of the others, with users known by all that they rated there. A random fold is no
split in time: `pwrank evaluate --pairs` judges that. Without a configuration, a generated log.

Prints RMSE and MAE of a rating, log loss and AUC of a like (for the heads alone), by fold and mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from pwrank.config import TrainConfig
    from pwrank.ranker.history import Histories
    from pwrank.ranker.item_encoder import ItemInputs

ROOT = Path(__file__).parents[2]
Figures = dict[str, dict[str, float]]


def read_log(config_file: Path) -> tuple[Histories, ItemInputs, int, TrainConfig]:
    """The rated rows of known items, the items, how many categories, and the [train] section."""
    import numpy as np

    from pwrank.config_file import load_config
    from pwrank.embed import embed
    from pwrank.evaluation.board_split import board_folder
    from pwrank.ingest import ingest
    from pwrank.ranker.model_inputs import (
        Reading,
        history_paths,
        read_catalogue,
        read_histories,
    )
    from pwrank.run import open_run

    config = load_config(config_file, os.environ)
    own = config.model_copy(update={"lake": board_folder(config) / "ratings"})
    now = datetime.now(UTC)
    run = open_run(own, now.date() + timedelta(days=1), now=now, known_at=now)
    found = ingest(run)
    embeddings = embed(run.store, found.catalogue, own, as_of=run.as_of)
    catalogue = read_catalogue(run.store, found.catalogue, embeddings)
    paths = history_paths(run.store, found.histories)
    log = read_histories(paths, catalogue.item_ids, Reading(())).histories
    inputs = inputs_of(catalogue.text, catalogue.category_offsets, catalogue.category_labels)
    return (
        log.keep((log.item >= 0) & ~np.isnan(log.rating)),
        inputs,
        len(catalogue.category_names),
        own.train,
    )


def inputs_of(text: np.ndarray, offsets: np.ndarray, labels: np.ndarray) -> ItemInputs:
    """Items of which each is in the vocabulary."""
    import torch

    from pwrank.ranker.item_encoder import ItemInputs

    return ItemInputs(
        text=torch.from_numpy(text),
        identity=torch.arange(1, len(text) + 1),
        category_offsets=torch.from_numpy(offsets),
        category_labels=torch.from_numpy(labels + 1),
    )


def generated_log(users: int, seed: int) -> tuple[Histories, ItemInputs, int, TrainConfig]:
    """Users with 60 ratings each, of 800 items whose text says half of their taste."""
    import numpy as np

    from pwrank.config import TrainConfig
    from pwrank.ranker.history import group_by_user

    rng = np.random.default_rng(seed)
    items, each = 800, 60
    user = np.repeat(np.arange(users), each)
    item = np.concatenate([rng.permutation(items)[:each] for _ in range(users)])
    taste, kind = rng.normal(size=(users, 4)), rng.normal(size=(items, 4))
    bias = rng.normal(size=users)[user] * 0.4 + rng.normal(size=items)[item] * 0.4
    stars = 3.5 + bias + 0.3 * (taste[user] * kind[item]).sum(axis=1)
    rating = np.clip(np.round(stars + rng.normal(size=len(user)) * 0.7), 1, 5)
    log = group_by_user(
        user,
        item,
        rng.integers(0, 10**7, len(user)),
        num_users=users,
        rating=rating.astype(np.float32),
    )
    text = np.hstack([kind[:, :2], rng.normal(size=(items, 14))]).astype(np.float32)
    nothing = np.zeros(0, np.int64)
    return log, inputs_of(text, np.zeros(items + 1, np.int64), nothing), 0, TrainConfig()


def judge_fold(
    log: Histories,
    held: np.ndarray,
    items: tuple[ItemInputs, int],
    config: TrainConfig,
    seed: int,
) -> Figures:
    """Figures by ranker. held: (m,) bool, rows of the log to foretell; items: with categories."""
    import numpy as np

    from pwrank.evaluation.pointwise_metrics import auc, log_loss, mae, rmse
    from pwrank.evaluation.rating_baselines import fit_baselines
    from pwrank.ranker.examples import window_start
    from pwrank.ranker.preference_training import fit_preference, preference_task

    inputs, categories = items
    known, wanted = log.keep(~held), log.keep(held)
    task = preference_task(known, inputs, categories, config, seed=seed)
    start = window_start(known, config.validation_share)
    model, learned = fit_preference(task, start)
    if model is None:
        sys.exit("no ratings: name their column under [source.columns]")
    seen = model.items(inputs)
    told = [
        model.score(known.select(np.array([user])), seen, wanted.item[None, first:last])
        for user, (first, last) in enumerate(
            zip(wanted.offsets[:-1], wanted.offsets[1:], strict=True)
        )
    ]
    like = np.concatenate([scores.like[0] for scores in told])
    predicted = {"pwrank": np.concatenate([scores.rating[0] for scores in told])}
    for name, baseline in fit_baselines(task, start).items():
        predicted[name] = baseline.rating(wanted.user, wanted.item)
    truth = wanted.rating.astype(np.float64)
    liked = (truth >= model.scale[2]).astype(np.float64)
    figures = {
        name: {"rmse": rmse(truth, rating), "mae": mae(truth, rating)}
        for name, rating in predicted.items()
    }
    figures["pwrank"] |= {"log_loss": log_loss(liked, like), "auc": auc(liked, like)}
    figures["pwrank"]["rounds"] = learned["rating_rounds"]
    return figures


def judge_folds(
    log: Histories,
    items: tuple[ItemInputs, int],
    config: TrainConfig,
    *,
    folds: int,
    seed: int,
) -> list[Figures]:
    """Figures of each fold; every row is foretold once."""
    import numpy as np

    fold = np.random.default_rng(seed).permutation(log.num_interactions) % folds
    return [judge_fold(log, fold == number, items, config, seed) for number in range(folds)]


def mean_of(folds: list[Figures]) -> Figures:
    """The same, over folds."""
    return {
        name: {metric: sum(fold[name][metric] for fold in folds) / len(folds) for metric in metrics}
        for name, metrics in folds[0].items()
    }


def told(result: dict[str, object], folds: list[Figures]) -> list[str]:
    """Lines for people."""
    lines = [f"{result['ratings']:,} ratings of {result['users']:,} users, {len(folds)} folds"]
    for name, metrics in mean_of(folds).items():
        cells = []
        for metric, mean in metrics.items():
            each = " ".join(f"{fold[name][metric]:.3f}" for fold in folds)
            cells.append(f"{metric} {mean:.4f} ({each})")
        lines.append(f"{name:<14}" + "  ".join(cells))
    return lines


def main() -> None:
    """Command line."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, metavar="F", help="default: a generated log")
    parser.add_argument("--users", type=int, default=600, help="of a generated log")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    log, inputs, categories, config = (
        read_log(options.config) if options.config else generated_log(options.users, options.seed)
    )
    folds = judge_folds(log, (inputs, categories), config, folds=options.folds, seed=options.seed)
    result: dict[str, object] = {
        "ratings": log.num_interactions,
        "users": int((log.lengths > 0).sum()),
        "folds": folds,
        "mean": mean_of(folds),
    }
    if options.json:
        json.dump(result, sys.stdout, indent=1)
    else:
        print("\n".join(told(result, folds)))


if __name__ == "__main__":
    main()
