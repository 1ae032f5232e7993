"""A generated night of any size, ready to be scored: no source, no training, no encoder.

Histories and item popularity have the long tails of real logs; the ranker has the default form
with random weights, which cost what trained ones do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch

from pwrank.config import Config, SourceConfig, TrainConfig
from pwrank.datasets import CATALOGUE, HISTORIES, USERS, DatasetRef, IdTypes
from pwrank.encoder.parts import EmbeddingParts
from pwrank.index import index
from pwrank.published_refs import NightRefs
from pwrank.ranker.cooccurrence import Cooccurrence
from pwrank.ranker.cooccurrence_choice import usual_shape
from pwrank.ranker.history import Histories, group_by_user
from pwrank.ranker.model import Ranker, RankerShape
from pwrank.ranker.weights import save_ranker
from pwrank.run import Run, open_run
from pwrank.signatures import SIGNED, sign
from pwrank.store import Store, shard_of, write_dataset

AS_OF = date(2024, 6, 1)
LAST = int(datetime(2024, 6, 1, tzinfo=UTC).timestamp())
TEXT_DIM = 384
EVENTS = ("view", "buy")
CATEGORIES = [f"Department {n}" for n in range(40)]
IDS = IdTypes()


@dataclass(frozen=True)
class GeneratedNight:
    """What the stage `score` reads."""

    run: Run
    refs: NightRefs


def generate_night(
    lake: Path, *, users: int, items: int, mean_length: float = 25.0, **sections: dict[str, object]
) -> GeneratedNight:
    """Write a lake with everything up to the index. sections: of the configuration."""
    config = Config(lake=lake, source=SourceConfig(), **sections)
    run = open_run(config, AS_OF, now=datetime(2024, 6, 2, tzinfo=UTC))
    run.store.set_id_types(IDS)
    rng = np.random.default_rng(5)
    catalogue, embeddings = _write_items(run.store, items, rng)
    histories = _write_histories(run.store, config, users, items, mean_length=mean_length, rng=rng)
    model = _write_ranker(run.store, config.train, items)
    shared = {"histories": histories, "catalogue": catalogue, "embeddings": embeddings}
    found = index(run, **shared, model=model)
    return GeneratedNight(run, NightRefs(**shared, model=model, index=found))


def open_night(lake: Path, **sections: dict[str, object]) -> GeneratedNight:
    """A night that `generate_night` wrote."""
    config = Config(lake=lake, source=SourceConfig(), **sections)
    run = open_run(config, AS_OF, now=datetime(2024, 6, 2, tzinfo=UTC))
    names = {"model": "models"}
    roles = ("histories", "catalogue", "embeddings", "model", "index")
    found = {role: run.store.refs(names.get(role, role))[0] for role in roles}
    return GeneratedNight(run, NightRefs(**found))


def item_name(rows: np.ndarray) -> pl.Series:
    """Ids as shops have them."""
    return pl.Series("item_id", rows).cast(pl.String).str.zfill(8)


def _write_items(
    store: Store, items: int, rng: np.random.Generator
) -> tuple[DatasetRef, DatasetRef]:
    names = item_name(np.arange(items))
    frame = pl.DataFrame(
        {
            "item_id": names,
            "title": names,
            "category": rng.choice(CATEGORIES, items).tolist(),
            "available": np.ones(items, np.bool_),
            "text": names,
            "content_hash": names,
        },
        schema=CATALOGUE.schema(IDS),
    )
    folder = store.folder("catalogue", AS_OF, "generated")
    write_dataset(store, CATALOGUE, frame, folder / "part-00000.parquet", IDS)
    catalogue = store.commit(
        "catalogue", AS_OF, "generated", files=["part-00000.parquet"], rows=items
    )
    parts = EmbeddingParts(store.lake / "embeddings" / "generated")
    parts.folder.mkdir(parents=True)
    store.folder("embeddings", AS_OF, "generated")
    files = []
    for start in range(0, items, 65_536):
        hashes = names[start : start + 65_536].to_list()
        vectors = rng.normal(size=(len(hashes), TEXT_DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        files.append(f"../../generated/{parts.write(hashes, vectors).name}")
    figures = {"encoder": "generated", "dim": TEXT_DIM}
    return catalogue, store.commit(
        "embeddings", AS_OF, "generated", files=files, rows=items, figures=figures
    )


def _write_histories(
    store: Store,
    config: Config,
    users: int,
    items: int,
    *,
    mean_length: float,
    rng: np.random.Generator,
) -> DatasetRef:
    """Log-normal lengths, Zipf items; one shard after the other."""
    folder = store.folder("histories", AS_OF, "generated")
    shards = config.score.shards
    names = pl.Series("user_id", np.arange(users)).cast(pl.String).str.zfill(9)
    owner = shard_of(names, shards)
    popularity = rng.permutation(1.0 / np.arange(1, items + 1) ** 0.8)
    rows = 0
    for shard in range(shards):
        mine = names.filter(owner == shard).sort()
        log = random_log(len(mine), popularity, mean_length=mean_length, rng=rng)
        frame = pl.DataFrame(
            {
                "user_id": mine.gather(log.user),
                "item_id": item_name(log.item),
                "event": pl.Series(list(EVENTS)).gather(log.event),
                "occurred_at": pl.Series(log.timestamp * 1_000_000).cast(pl.Datetime("us", "UTC")),
                "rating": log.rating,
                "weight": log.weight,
            },
            schema=HISTORIES.schema(IDS),
        )
        write_dataset(store, HISTORIES, frame, folder / f"part-{shard:05d}.parquet", IDS)
        write_dataset(store, USERS, mine.to_frame(), folder / f"users-{shard:05d}.parquet", IDS)
        rows += log.num_interactions
    files = [f"{kind}-{shard:05d}.parquet" for kind in ("part", "users") for shard in range(shards)]
    figures = {"users": users, "latest_occurred_at": "2024-05-31T23:59:59+00:00"}
    return store.commit("histories", AS_OF, "generated", files=files, rows=rows, figures=figures)


def random_log(
    users: int, popularity: np.ndarray, *, mean_length: float, rng: np.random.Generator
) -> Histories:
    """Histories of log-normal lengths, none included; popularity: (n,) of each item."""
    lengths = rng.lognormal(np.log(mean_length) - 0.5, 1.0, users).astype(np.int64)
    total = int(lengths.sum())
    cumulative = np.cumsum(popularity / popularity.sum())
    return group_by_user(
        np.repeat(np.arange(users), lengths),
        np.searchsorted(cumulative, rng.random(total)).clip(max=len(popularity) - 1),
        LAST - 1 - (rng.random(total) ** 2 * 300 * 86_400).astype(np.int64),
        num_users=users,
        event=rng.integers(0, len(EVENTS), total).astype(np.int16),
        rating=rng.integers(1, 6, total).astype(np.float32),
    )


def random_ranker(config: TrainConfig, items: int) -> Ranker:
    """A ranker of the configured form with random weights and random co-occurrences."""
    shape = RankerShape(
        text_dim=TEXT_DIM,
        dim=config.dim,
        layers=config.layers,
        heads=config.heads,
        length=config.history_length,
        events=len(EVENTS),
        hidden=config.pair_hidden,
        fusion=config.fusion,
        activation=config.activation,
        rating_mean=3.0,
        rating_std=1.4,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ranker = Ranker(shape, tuple(item_name(np.arange(items))), tuple(CATEGORIES))
        for values in (ranker.retrieval_head.weight, ranker.retrieval_head.weight_by_length):
            torch.nn.init.normal_(values, std=0.1)
    ranker.cooccurrence = _random_cooccurrence(config, items)
    return ranker.eval()


def _random_cooccurrence(config: TrainConfig, items: int) -> Cooccurrence:
    rng = np.random.default_rng(11)
    chosen = np.sort(rng.permutation(items)[: config.ease_items])
    keep = min(usual_shape(config).keep, len(chosen))
    columns = chosen[rng.integers(0, len(chosen), (len(chosen), keep))]
    columns.sort(axis=1)
    lengths = np.zeros(items, np.int64)
    lengths[chosen] = keep
    weight, walk = rng.exponential(0.01, (2, columns.size)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Cooccurrence(offsets, columns.ravel().astype(np.int64), weight, walk)


def _write_ranker(store: Store, config: TrainConfig, items: int) -> DatasetRef:
    folder = store.folder("models", AS_OF, "generated")
    files = [path.name for path in save_ranker(random_ranker(config, items), folder)]
    figures = {
        "kind": "generated",
        "model_version": "generated",
        "events": list(EVENTS),
        "by_order": False,
    }
    figures[SIGNED] = sign(folder, files)
    return store.commit("models", AS_OF, "generated", files=files, rows=0, figures=figures)
