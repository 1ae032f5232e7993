"""What a night finds done already: the outputs in the lake whose names its inputs give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pwrank.datasets import DatasetRef
from pwrank.embed import embed_key
from pwrank.encoder.text_encoder import identify_encoder
from pwrank.index import index_key
from pwrank.planning.incoming import Waiting, known_drops
from pwrank.publication import published_dates, read_publication
from pwrank.published_refs import NightRefs
from pwrank.run import Run
from pwrank.score import part_name, staged_key
from pwrank.train import model_key, model_kind, newest_model, why_due
from pwrank.views.catalogue import catalogue_key
from pwrank.views.histories import histories_key


@dataclass(frozen=True)
class Reusable:
    """Outputs that are in the lake; None where the stage has to work."""

    histories: DatasetRef | None = None
    catalogue: DatasetRef | None = None
    embeddings: DatasetRef | None = None
    model: DatasetRef | None = None
    """The model that the night will use, trained for it or before."""
    why_train: str | None = None
    """Why a training is due; None if it is not."""
    index: DatasetRef | None = None
    shards_done: int = 0
    published: bool = False


def find_reusable(run: Run, waiting: Sequence[Waiting], *, force: bool) -> Reusable:
    """Follow the data flow as far as the names of its outputs are known."""
    kind = model_kind(run.config, identify_encoder(run.config.encoder).key)
    newest = newest_model(run.store, run.as_of, kind)
    due = why_due(newest, run, force=force)
    unknown = Reusable(model=None if due else newest, why_train=due)
    if any(table.files for table in waiting):
        return unknown
    drops = {table.table: known_drops(run, table) for table in waiting}
    store, config, as_of = run.store, run.config, run.as_of
    key = catalogue_key(drops["items"], config, run.cut)
    catalogue = store.reuse("catalogue", as_of, key)
    known = [*drops["interactions"], *drops["users"]]
    name = histories_key(known, config, cut=run.cut, catalogue_key=key)
    histories = store.reuse("histories", as_of, name)
    if catalogue is None or histories is None:
        return unknown
    name = embed_key(identify_encoder(config.encoder).key, catalogue.key)
    embeddings = store.reuse("embeddings", as_of, name)
    if embeddings is None:
        return Reusable(histories, catalogue, model=unknown.model, why_train=due)
    inputs = (histories, catalogue, embeddings)
    own = store.reuse("models", as_of, model_key(run, kind, *inputs))
    model = own or unknown.model
    due = None if own else due
    index = store.reuse("index", as_of, index_key(config, *inputs, model)) if model else None
    if model is None or index is None:
        return Reusable(*inputs, model, due)
    return _with_lists(run, NightRefs(*inputs, model, index), due)


def _with_lists(run: Run, night: NightRefs, due: str | None) -> Reusable:
    key = staged_key(night, run.config)
    folder = run.store.lake / "staged" / f"as_of={run.as_of}" / key
    shards = range(run.config.score.shards)
    done = sum((folder / part_name(shard)).exists() for shard in shards)
    published = (
        run.as_of in published_dates(run.store)
        and read_publication(run.store, run.as_of)["version"] == key
    )
    return Reusable(
        histories=night.histories,
        catalogue=night.catalogue,
        embeddings=night.embeddings,
        model=night.model,
        why_train=due,
        index=night.index,
        shards_done=done,
        published=published,
    )
