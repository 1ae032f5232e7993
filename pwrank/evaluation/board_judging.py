"""The board: the product's lists and every tuned baseline, judged on the same held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.encoder.parts import read_embeddings
from pwrank.errors import InputError
from pwrank.evaluation.baselines import Baseline
from pwrank.evaluation.board import PRODUCT, Board
from pwrank.evaluation.board_split import BoardSplit
from pwrank.evaluation.holdout import (
    COLD_INTERACTIONS,
    counted_pairs,
    interactions_per_item,
    relevant_pairs,
)
from pwrank.evaluation.judged_lists import (
    JudgedLists,
    judge_baseline,
    judge_rankings,
    judge_slices,
)
from pwrank.evaluation.known_log import KnownLog
from pwrank.evaluation.list_figures import describe_lists, evenly_spaced
from pwrank.evaluation.tuning import tune_baselines
from pwrank.evaluation.variants import ProductLists
from pwrank.published_refs import NightRefs
from pwrank.ranker.model_inputs import history_paths
from pwrank.run import Run
from pwrank.store import Progress

Ranked = Callable[[pl.DataFrame, pl.Series], JudgedLists]
"""(pairs, sampled users) -> what is kept of one ranker's lists."""


def read_known_log(run: Run, night: NightRefs) -> KnownLog:
    """What the run knew, for the baselines to learn from."""
    store, config = run.store, run.config
    columns = ["user_id", "item_id", "occurred_at"]
    parts = [pl.read_parquet(p, columns=columns) for p in history_paths(store, night.histories)]
    shown = _catalogue(run, night).filter("available")
    vectors = read_embeddings(store, night.embeddings, shown["content_hash"].to_list())
    return KnownLog(
        rows=pl.concat(parts).sort("user_id", maintain_order=True),
        items=shown["item_id"],
        end=run.as_of,
        exclude_seen=config.score.exclude_seen,
        vectors=vectors,
        time_zone=config.time_zone,
        seed=config.seed,
    )


def judge_board(
    run: Run,
    split: BoardSplit,
    night: NightRefs,
    product: Mapping[str, ProductLists],
    names: Sequence[str],
    *,
    progress: Progress | None = None,
) -> Board:
    """Tune the named baselines on what the run knew, then judge all by what was held out.

    product: its lists as configured, and in other forms, by name. Raises InputError if no user with
    a history has anything to find.
    """
    log, catalogue = read_known_log(run, night), _catalogue(run, night)
    history = log.rows.lazy()
    held = pl.read_parquet(split.held_out)
    pairs, account = relevant_pairs(held, history, catalogue, exclude_seen=log.exclude_seen)
    counted = counted_pairs(pairs, history)
    parts = _parts(counted)
    if parts["with_history"].is_empty():
        raise InputError(
            f"{split.told()}: no user with a history has anything to find in it; hold out more, or "
            "choose another --as-of"
        )
    tuned, skipped = tune_baselines(log, split.rule, names, progress=progress)
    rankers = {name: _staged_lists(run, lists.staged) for name, lists in product.items()}
    rankers |= {name: _baseline_lists(found.baseline) for name, found in tuned.items()}
    known, new = parts["with_history"], parts["new_users"]
    judged = {name: _judge(ranked, known) for name, ranked in rankers.items()}
    others = {name: _judge(ranked, new) for name, ranked in rankers.items()}
    interactions = interactions_per_item(history, catalogue["item_id"])
    hashes = catalogue.filter("available")["content_hash"]
    vectors = pl.DataFrame({"content_hash": hashes, "embedding": log.vectors})
    return Board(
        told=split.told(),
        rule=split.rule.name,
        as_of=split.as_of,
        exclude_seen=log.exclude_seen,
        account={**account, "users_with_history": known["user_id"].n_unique()},
        slices=judge_slices(parts, _joined(judged, others), run.config.seed, PRODUCT),
        lists={
            name: describe_lists(found.shown, found.sample, catalogue, interactions, vectors)
            for name, found in judged.items()
        },
        forms={name: lists.form for name, lists in product.items()},
        tuning={name: found.to_json() for name, found in tuned.items()},
        skipped=skipped,
    )


def _catalogue(run: Run, night: NightRefs) -> pl.DataFrame:
    (path,) = night.catalogue.file_paths(run.store.lake)
    return pl.read_parquet(path)


def _parts(counted: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Part the pairs by the slices of the board."""
    old = pl.col("user_id_count") > 0
    cold = pl.col("in_catalogue") & (pl.col("item_id_count") <= COLD_INTERACTIONS)
    rules = {
        "with_history": old,
        "cold_items": old & cold,
        "cold_users": old & (pl.col("user_id_count") <= COLD_INTERACTIONS),
        "new_users": ~old,
        "all": pl.lit(value=True),
    }
    return {name: counted.filter(rule).select("user_id", "item_id") for name, rule in rules.items()}


def _staged_lists(run: Run, staged: DatasetRef) -> Ranked:
    rankings = pl.scan_parquet(staged.file_paths(run.store.lake))
    return lambda pairs, sampled: judge_rankings(rankings, pairs, sampled)


def _baseline_lists(baseline: Baseline) -> Ranked:
    return lambda pairs, sampled: judge_baseline(baseline, pairs, sampled)


def _judge(ranked: Ranked, pairs: pl.DataFrame) -> JudgedLists:
    return ranked(pairs, evenly_spaced(pairs["user_id"]))


def _joined(
    first: Mapping[str, JudgedLists], second: Mapping[str, JudgedLists]
) -> dict[str, JudgedLists]:
    """Hits of both groups of users; the rest is told of the first only."""
    return {
        name: JudgedLists(pl.concat([found.hits, second[name].hits]), found.shown, found.sample)
        for name, found in first.items()
    }
