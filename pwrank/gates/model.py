"""Gates on what made the lists: model, embeddings and index, tried as they lie there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from pwrank.config import Config, GatesConfig
from pwrank.datasets import DatasetRef
from pwrank.encoder.parts import read_embeddings
from pwrank.encoder.text_encoder import load_encoder
from pwrank.errors import ModelUnavailableError, PwrankError
from pwrank.gates.verdicts import Verdict
from pwrank.lists.item_index import ItemIndex, read_item_index
from pwrank.lists.retrieval import nearest_rows, overlap, rows_found
from pwrank.published_refs import DEGRADED, NightRefs
from pwrank.ranker.examples import at_few_moments, sample, window_examples, window_start
from pwrank.ranker.held_out_training import Evidence
from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.model import Ranker
from pwrank.ranker.model_inputs import Reading, history_paths, read_histories
from pwrank.ranker.popularity import item_activity
from pwrank.ranker.trial import mean_and_error, try_ranker
from pwrank.ranker.weights import read_ranker
from pwrank.run import Run

SURE = 2.0
"""Standard errors that a difference must have."""

FEWEST_USERS = 30
"""Users from which on a mean says something."""

SAME_TEXT = 0.98
"""Least cosine of a vector with that of the same text encoded again; precisions differ by less."""

RECALL_TOLERANCE = 0.02
"""By which recall on other users may miss what was certified."""

FEW_MOMENTS = 4
"""Moments as of which items are seen through the model: each takes the whole catalogue."""

LATEST = 0.1
"""Share of the log in which the model is tried."""


def judge_model(run: Run, night: NightRefs, *, new: bool) -> list[Verdict]:
    """Every gate of this kind. new: the lists published last have another model."""
    encoders = (night.model.figures["encoder"], night.embeddings.figures["encoder"])
    fits = encoders[0] == encoders[1]
    found = [
        validation_verdict(night.model.figures["metrics"], run.config.gates, new=new),
        Verdict(
            "encoder",
            fits,
            "the model's own" if fits else f"embeddings by {encoders[1]}, model for {encoders[0]}",
            "embeddings by the encoder that the model was trained with",
        ),
        embeddings_verdict(run, night),
    ]
    if not fits:
        return [*found, *_untried("the model does not fit the embeddings")]
    return [*found, *try_at_work(run, night)]


def _untried(why: str) -> list[Verdict]:
    return [
        Verdict(g, passed=True, figure=why, bound="") for g in ("model at work", "index recall")
    ]


def validation_verdict(metrics: Mapping[str, float], gates: GatesConfig, *, new: bool) -> Verdict:
    """A new model against popularity and the model before, as training measured them."""
    if not new:
        return Verdict("validation", passed=True, figure="no new model", bound="")
    users, own = int(metrics["validation_users"]), metrics["validation_ndcg@10"]
    told, worse = [f"NDCG@10 {own:.4f} of {users:,} users"], False
    bounds = {"popularity": gates.min_against_popularity, "champion": gates.min_against_champion}
    for rival, least in bounds.items():
        if f"{rival}_ndcg@10" not in metrics:
            continue
        other = metrics[f"{rival}_ndcg@10"]
        told.append(f"{rival} {other:.4f}")
        worse |= own + SURE * metrics[f"{rival}_error"] < least * other
    wanted = ", ".join(f"{least} of {rival}" for rival, least in bounds.items())
    passed = users < FEWEST_USERS or not worse
    return Verdict("validation", passed, ", ".join(told), f"at least {wanted}")


def embeddings_verdict(run: Run, night: NightRefs) -> Verdict:
    """Some texts of the catalogue, encoded again: each item must have the vector of its text."""
    store, config = run.store, run.config
    bound = f"a cosine of at least {SAME_TEXT} with the same text encoded again"
    (path,) = night.catalogue.file_paths(store.lake)
    items = pl.read_parquet(path, columns=["item_id", "text", "content_hash"])
    items = items.filter(pl.col("content_hash") != "").sort("content_hash", "item_id")
    most = min(config.gates.sample_texts, items.height)
    chosen = items[np.linspace(0, items.height - 1, most).astype(np.int64)]
    stored = read_embeddings(store, night.embeddings, chosen["content_hash"].to_list())
    with_vector = np.flatnonzero(np.abs(stored).sum(axis=1) > 0)
    if len(with_vector) == 0:
        return Verdict("embeddings", passed=True, figure="none looked at", bound=bound)
    texts = [chosen["text"][int(row)] for row in with_vector]
    again = _encoded_again(config, night.embeddings, texts)
    if isinstance(again, str):
        return Verdict("embeddings", passed=True, figure=f"not checked: {again}", bound=bound)
    cosine = (stored[with_vector] * again).sum(axis=1)
    wrong = with_vector[~(cosine >= SAME_TEXT)]
    return Verdict(
        "embeddings",
        len(wrong) == 0,
        f"{len(wrong)} of {len(with_vector)} texts have another vector, "
        f"least cosine {float(cosine.min()):.4f}",
        bound,
        f"item {chosen['item_id'][int(wrong[0])]!r}" if len(wrong) else "",
    )


def _encoded_again(config: Config, embeddings: DatasetRef, texts: list[str]) -> FloatArray | str:
    """(n, dim) vectors of the texts, or why none can be had.

    An encoder that failed the stage, so that older vectors stand in, may fail here too.
    """
    try:
        encoder = load_encoder(config.encoder, threads=config.runtime.threads)
        if encoder.key != embeddings.figures["encoder"]:
            return "other encoder"
        again = encoder.encode(texts)
    except ModelUnavailableError:
        return "no encoder"
    except (PwrankError, RuntimeError, MemoryError):
        if DEGRADED not in embeddings.figures:
            raise
        return "no encoder"
    usable = DEGRADED not in embeddings.figures or bool(np.isfinite(again).all())
    return again if usable else "no encoder"


def try_at_work(run: Run, night: NightRefs) -> list[Verdict]:
    """The model's files on the users' latest steps, and the index on some users' vectors."""
    store, gates = run.store, run.config.gates
    ranker = read_ranker(store.lake, night.model)
    items = read_item_index(
        store.lake, index=night.index, catalogue=night.catalogue, embeddings=night.embeddings
    )
    paths = history_paths(store, night.histories)
    log = read_histories(paths, items.catalogue.item_ids, Reading.of(night.model)).histories
    queries = _queries(ranker, items, log, gates.sample_users)
    depth, repeats = run.config.score.candidates, not run.config.score.exclude_seen
    return [
        _at_work(ranker, items, log.keep(log.item >= 0), gates, repeats=repeats),
        recall_verdict(items, queries, run.config.index.target_recall, k=depth),
    ]


def _at_work(
    ranker: Ranker, items: ItemIndex, log: Histories, gates: GatesConfig, *, repeats: bool
) -> Verdict:
    """The users' latest steps were in training; only damage does far worse than popularity."""
    activity = item_activity(log, items.catalogue.num_items)
    evidence = Evidence(log, items.catalogue, activity, repeats)
    rng = np.random.default_rng(0)
    start = window_start(log, LATEST)
    examples = window_examples(log, start, cuts=1, splits=1, after=10, rng=rng)
    few = at_few_moments(sample(examples, gates.sample_users, rng), FEW_MOMENTS)
    tried = try_ranker(ranker, evidence, few)
    own, other = mean_and_error(tried.ranker)[0], mean_and_error(tried.popularity)[0]
    error = mean_and_error(tried.ranker - tried.popularity)[1]
    least = gates.min_against_popularity
    passed = tried.users < FEWEST_USERS or own + SURE * error >= least * other
    return Verdict(
        "model at work",
        passed,
        f"NDCG@10 {own:.4f} on the latest steps of {tried.users:,} users, popularity {other:.4f}",
        f"at least {least} of popularity",
    )


def _queries(ranker: Ranker, items: ItemIndex, log: Histories, most: int) -> FloatArray:
    users: IntArray = np.flatnonzero(log.lengths > 0).astype(np.int64)
    chosen = users[np.linspace(0, max(len(users) - 1, 0), min(most, len(users))).astype(np.int64)]
    vectors: FloatArray = ranker.user_table(log.select(chosen), items.table).retrieval.numpy()
    return vectors


def recall_verdict(items: ItemIndex, queries: FloatArray, target: float, *, k: int) -> Verdict:
    """The index as it lies there against exact search over what may be ranked."""
    recall = 1.0
    if items.approximate is not None:
        found = rows_found(items.approximate, queries, k)
        recall = overlap(found, nearest_rows(items.pool, queries, k))
    least = target - RECALL_TOLERANCE
    return Verdict(
        "index recall",
        len(queries) == 0 or recall >= least,
        f"{recall:.4f} at {k} for {len(queries):,} users",
        f"at least {least:g}",
    )


def model_of(publication: Mapping[str, Any]) -> str:
    """Key of the model behind a publication."""
    return str(publication["inputs"]["model"]["key"])
