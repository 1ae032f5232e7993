"""The catalogue as the model sees it on one night, and the index over what may be ranked.

Written by the stage `index`, read by every shard and by `pwrank score`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pwrank.datasets import DatasetRef
from pwrank.errors import LakeError, first_line
from pwrank.lists.exact_search import Pool, make_pool
from pwrank.lists.retrieval import (
    ApproximateIndex,
    RecallCertificate,
    read_index,
    write_index,
)
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.cooccurrence import Cooccurrence
from pwrank.ranker.history import IntArray
from pwrank.ranker.model import ItemTable
from pwrank.ranker.model_inputs import read_catalogue
from pwrank.signatures import verify_ref
from pwrank.store import Store, read_json, replacing, write_json

TABLE, INDEX, FACTS = "items.safetensors", "items.faiss", "facts.json"


@dataclass(frozen=True)
class ItemIndex:
    """What a shard needs to score users; read once a process.

    n items; `table` has n + 1 rows, the last for any item that the catalogue lacks.
    """

    catalogue: Catalogue
    table: ItemTable
    pool: Pool
    """The available items."""
    approximate: ApproximateIndex | None
    """Over the same items; None: they are searched exactly."""
    interactions: IntArray
    """(n,) interactions of each item before the cut."""
    known: np.ndarray
    """(n,) bool: the model met the item in training; others are known by their text only."""
    by_popularity: IntArray
    """(a,) rows of the available items, by falling popularity prior."""


def with_unknown_item(catalogue: Catalogue) -> Catalogue:
    """One more row, the last, that stands for any item that the catalogue lacks: no text, no id."""
    nothing = np.zeros((1, catalogue.text_dim), np.float32)
    offsets = np.append(catalogue.category_offsets, catalogue.category_offsets[-1])
    # An id that no source can have: text ids have no type object, numbers no None.
    ids = np.concatenate([catalogue.item_ids.astype(object), np.array([None], dtype=object)])
    return replace(
        catalogue,
        item_ids=ids,
        text=np.concatenate([catalogue.text, nothing]),
        category_offsets=offsets,
        available=np.append(catalogue.available, False),
    )


def write_item_index(
    folder: Path,
    table: ItemTable,
    built: ApproximateIndex | None,
    *,
    interactions: IntArray,
    known: np.ndarray,
    certificate: RecallCertificate,
) -> list[str]:
    """Write the files of the index, each whole or not at all. Returns their names."""
    tensors = {
        "vectors": table.vectors,
        "retrieval": table.retrieval,
        "popularity": table.popularity,
        "text": table.text,
        **table.cooccurrence.to_tensors("cooccurrence."),
        "interactions": torch.from_numpy(interactions),
        "known": torch.from_numpy(known),
    }
    with replacing(folder / TABLE) as temporary:
        save_file({n: t.contiguous().cpu() for n, t in tensors.items()}, temporary)
    write_json(folder / FACTS, asdict(certificate))
    if built is None:
        return [TABLE, FACTS]
    with replacing(folder / INDEX) as temporary:
        write_index(built, temporary)
    return [TABLE, FACTS, INDEX]


def read_item_index(
    lake: Path, *, index: DatasetRef, catalogue: DatasetRef, embeddings: DatasetRef
) -> ItemIndex:
    """Read what `write_item_index` wrote, with the catalogue that it was built from.

    An index that cannot be used is replaced by exact search over the same vectors. Raises
    LakeError if another file is not the one that was written.
    """
    verify_ref(lake, index, [TABLE, FACTS])
    folder = lake / index.path
    # Cloned: matrix products round by the alignment of their arguments, and a file's is by chance.
    tensors = {name: values.clone() for name, values in load_file(folder / TABLE).items()}
    items = read_catalogue(Store(lake), catalogue, embeddings)
    table = ItemTable(
        vectors=tensors["vectors"],
        retrieval=tensors["retrieval"],
        popularity=tensors["popularity"],
        text=tensors["text"],
        cooccurrence=Cooccurrence.from_tensors(tensors, "cooccurrence."),
    )
    return item_index(
        items,
        table,
        _usable_index(lake, index),
        interactions=tensors["interactions"].numpy(),
        known=tensors["known"].numpy(),
    )


def item_index(
    catalogue: Catalogue,
    table: ItemTable,
    approximate: ApproximateIndex | None,
    *,
    interactions: IntArray,
    known: np.ndarray,
) -> ItemIndex:
    """Put an index together from its parts; see `ItemIndex` for what they are."""
    prior = table.retrieval[:-1, -1].numpy()
    available = np.flatnonzero(catalogue.available).astype(np.int64)
    return ItemIndex(
        catalogue=catalogue,
        table=table,
        pool=make_pool(table.retrieval, available),
        approximate=approximate,
        interactions=interactions,
        known=known,
        by_popularity=available[np.argsort(-prior[available], kind="stable")],
    )


def broken_index(lake: Path, index: DatasetRef) -> str:
    """Why the approximate index cannot be used; empty if it can, or if none was built."""
    opened = _open_index(lake, index, 1)
    return opened if isinstance(opened, str) else ""


def _usable_index(lake: Path, index: DatasetRef) -> ApproximateIndex | None:
    """The approximate index; None where there is none, or none that can be used."""
    probes = int(read_json(lake / index.path / FACTS)["probes"])
    opened = _open_index(lake, index, probes)
    return None if isinstance(opened, str) else opened


def _open_index(lake: Path, index: DatasetRef, probes: int) -> ApproximateIndex | str | None:
    """The approximate index, why it cannot be used, or None where there is none."""
    if INDEX not in index.files:
        return None
    try:
        verify_ref(lake, index, [INDEX])
        return read_index(lake / index.path / INDEX, probes)
    except (LakeError, RuntimeError) as error:
        return first_line(error)
