"""How fast this machine is at what the stages do: a few seconds of the real work, timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from pwrank.config import Config
from pwrank.encoder.text_encoder import load_encoder
from pwrank.lists.exact_search import make_pool
from pwrank.lists.item_index import ItemIndex, item_index, with_unknown_item
from pwrank.lists.rank_by_rank import NO_CATEGORY
from pwrank.lists.reranking import ItemFacts
from pwrank.lists.retrieval import build_index
from pwrank.planning.incoming import Clock
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.history import Histories
from pwrank.ranker.model import Ranker
from pwrank.ranker.model_inputs import Reading
from pwrank.ranker.night_scorer import NightScorer
from pwrank.ranker.popularity import item_activity
from pwrank.score import Scorer, score_users

SAMPLE_TEXTS = 1024
SAMPLE_USERS = 2048
"""At most; less than a shard would leave the blocks that users are scored in less full."""


@dataclass(frozen=True)
class EmbedRate:
    """Of the configured encoder."""

    loading: float
    """Seconds until it is ready."""
    token: float
    """Seconds a token."""
    tokens_per_text: float
    flops_per_text: float


def measure_encoder(texts: pl.Series, config: Config, clock: Clock) -> EmbedRate:
    """Encode some of the texts that wait."""
    started = clock()
    encoder = load_encoder(config.encoder, threads=config.runtime.threads)
    some = texts.sample(min(len(texts), SAMPLE_TEXTS), seed=0).to_list()
    encoder.encode(some[:32])
    loading, before, started = clock() - started, encoder.tokens_encoded, clock()
    encoder.encode(some)
    tokens = encoder.tokens_encoded - before
    each = tokens / len(some)
    return EmbedRate(loading, (clock() - started) / tokens, each, encoder.flops(1, each))


@dataclass(frozen=True)
class ScoreRate:
    """Of scoring users and of what is made once a night for it."""

    index: float
    """Seconds for item table and index."""
    user: float
    """Seconds a user."""


def measure_scoring(
    ranker: Ranker,
    log: Histories,
    catalogue: Catalogue,
    config: Config,
    *,
    users: int,
    clock: Clock,
) -> ScoreRate:
    """Build the index over the catalogue and score some users against it.

    users: of a shard of the night.
    """
    started = clock()
    index = _index(ranker, log, catalogue, config)
    seconds = clock() - started
    no_category = np.full(catalogue.num_items, NO_CATEGORY)
    facts = ItemFacts(no_category, catalogue.text, index.interactions)
    night, all_have_vectors = NightScorer(ranker, index.table), pl.Series(dtype=pl.String)
    scorer = Scorer(ranker, night, index, facts, all_have_vectors, Reading(("",)), "")
    alone = config.runtime.model_copy(update={"task_runner": "sequential"})
    config = config.model_copy(update={"runtime": alone})  # this one shard has all threads
    many = min(users, SAMPLE_USERS, log.num_users)
    some = np.arange(0, log.num_users, log.num_users // many, dtype=np.int64)[:many]
    score_users(scorer, log, some[:8], config)
    started = clock()
    score_users(scorer, log, some, config)
    return ScoreRate(seconds, (clock() - started) / len(some))


def _index(ranker: Ranker, log: Histories, catalogue: Catalogue, config: Config) -> ItemIndex:
    """As the stage `index` makes it, in memory."""
    items = with_unknown_item(catalogue)
    activity = item_activity(log, items.num_items)
    at = int(log.timestamp.max(initial=0)) + 1
    table = ranker.item_table(items, activity.features(at))
    pool = make_pool(table.retrieval, np.flatnonzero(items.available).astype(np.int64))
    queries = pool.vectors[: config.index.sample_users].numpy()
    k = min(config.score.width, len(pool.rows))
    return item_index(
        catalogue,
        table,
        build_index(pool, queries, config.index, k=k)[0],
        interactions=np.bincount(log.item[log.item >= 0], minlength=catalogue.num_items),
        known=np.ones(catalogue.num_items, np.bool_),
    )
