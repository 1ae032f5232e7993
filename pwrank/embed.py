"""Stage embed: the catalogue's texts -> their embeddings, only those that the lake lacks.

Embeddings lie under `embeddings/<encoder key>/` by content hash and are shared by all dates; the
ref of a date lists the parts that it needs. Each block of texts is written as soon as it is
encoded, so that a kill loses one block at most.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import date, datetime

import polars as pl

from pwrank.config import Config, EncoderConfig
from pwrank.datasets import DatasetRef
from pwrank.encoder.parts import EmbeddingParts, read_embeddings
from pwrank.encoder.text_encoder import TextEncoder, identify_encoder, load_encoder
from pwrank.errors import ContractError, ModelUnavailableError, PwrankError, first_line
from pwrank.horizon import SEEN_UNTIL, horizon_of
from pwrank.published_refs import DEGRADED
from pwrank.run import cut_of
from pwrank.store import Progress, Store, fingerprint

__all__ = ["count_missing_texts", "embed", "read_embeddings"]

EMBED_VERSION = 1
"""Raised when the same catalogue and encoder would give another set of vectors."""

BLOCK_TEXTS = 2048
"""Texts encoded and written together: some seconds of work."""


def embeddings_of(store: Store, encoder_key: str) -> EmbeddingParts:
    """The part files of an encoder in this lake."""
    return EmbeddingParts(store.lake / "embeddings" / encoder_key)


def embed_key(encoder_key: str, catalogue_key: str) -> str:
    """Name of a date's embeddings."""
    return fingerprint(EMBED_VERSION, encoder_key, catalogue_key)


def content_hashes(store: Store, catalogue: DatasetRef) -> pl.Series:
    """The content hash of every catalogue row, '' where there is no text."""
    scan = pl.scan_parquet(catalogue.file_paths(store.lake))
    return scan.select("content_hash").collect()["content_hash"]


def texts_of(store: Store, catalogue: DatasetRef, hashes: pl.Series) -> Iterator[pl.DataFrame]:
    """Blocks (content_hash, text) of the texts with these hashes, each hash once.

    Reads one catalogue file at a time; a block may take from two.
    """
    wanted = hashes.rename("content_hash").to_frame()
    pending = pl.DataFrame(schema={"content_hash": pl.String, "text": pl.String})
    for path in catalogue.file_paths(store.lake):
        found = (
            pl.read_parquet(path, columns=["content_hash", "text"])
            .join(wanted, on="content_hash", how="semi")
            .unique("content_hash", keep="first")
            .sort("content_hash")
        )
        wanted = wanted.join(found, on="content_hash", how="anti")
        pending = pl.concat([pending, found])
        while pending.height >= BLOCK_TEXTS:
            yield pending.head(BLOCK_TEXTS)
            pending = pending.slice(BLOCK_TEXTS)
    if pending.height:
        yield pending


def count_missing_texts(store: Store, catalogue: DatasetRef, config: Config) -> int:
    """Texts that `embed` would encode now: what a progress bar needs beforehand."""
    hashes = content_hashes(store, catalogue)
    try:
        parts = embeddings_of(store, identify_encoder(config.encoder).key)
    except ModelUnavailableError:
        return 0
    return len(parts.cover(hashes.filter(hashes != ""))[1])


def encode_missing(
    encoder: TextEncoder,
    parts: EmbeddingParts,
    blocks: Iterator[pl.DataFrame],
    progress: Progress | None,
) -> None:
    """Encode blocks (content_hash, text) and write each as a part before the next begins."""
    for block in blocks:
        vectors = encoder.encode(block["text"].to_list(), progress=progress)
        parts.write(block["content_hash"].to_list(), vectors)
    parts.merge_small()


def text_counts(hashes: pl.Series, distinct: pl.Series, missing: pl.Series) -> dict[str, int]:
    """The account of texts: rows, rows without text, and what became of each distinct text."""
    return {
        "texts_total": len(hashes),
        "texts_empty": int((hashes == "").sum()),
        "texts_encoded": len(missing),
        "texts_reused": len(distinct) - len(missing),
    }


def embed(
    store: Store,
    catalogue: DatasetRef,
    config: Config,
    *,
    as_of: date,
    progress: Progress | None = None,
) -> DatasetRef:
    """Encode what the lake has no vector for, and commit the date's embeddings.

    Where the encoder cannot be had or fails, the vectors that it gave before stand in; the texts
    that have none are left for a later night. Raises ModelUnavailableError when the model is not
    on this machine, and ContractError when it gives vectors that cannot be used, if it never gave
    any.
    """
    try:
        return _embed(store, catalogue, config, as_of=as_of, progress=progress)
    except (PwrankError, RuntimeError, MemoryError) as error:
        last = last_good_vectors(store, config.encoder, as_of)
        if last is None:
            raise
        cut = cut_of(as_of, config.time_zone)
        return _stand_in(store, catalogue, last, cut=cut, as_of=as_of, why=error)


def last_good_vectors(store: Store, encoder: EncoderConfig, as_of: date) -> DatasetRef | None:
    """The newest embeddings, until `as_of`, that the configured encoder made.

    Where its files are gone, or are not what they were, those that tell of the same encoder.
    """
    key = ""
    with contextlib.suppress(ModelUnavailableError):
        key = identify_encoder(encoder).key
    alike = [
        ref
        for ref in store.refs("embeddings")
        if ref.as_of
        and ref.as_of <= as_of
        and (ref.figures["encoder"] == key or _told_alike(ref, encoder))
        and any(embeddings_of(store, ref.figures["encoder"]).paths())
    ]
    made = [ref for ref in alike if ref.figures["encoder"] == key] or alike
    return max(made, key=lambda ref: (ref.as_of or date.min, ref.key), default=None)


def _told_alike(ref: DatasetRef, encoder: EncoderConfig) -> bool:
    """Whether embeddings say of themselves what is configured now; its files are not there."""
    told = ref.figures["description"]
    wanted: dict[str, str | int] = {"prompt": encoder.prompt, "max_length": encoder.max_length}
    if encoder.pooling != "auto":
        wanted["pooling"] = encoder.pooling
    if encoder.revision:
        wanted["revision"] = encoder.revision
    # A folder that is gone is not resolved, so a relative name stays what it was.
    same_model = f"/{told['model']}".endswith(f"/{encoder.model.removeprefix('./')}")
    return same_model and all(told[name] == value for name, value in wanted.items())


def _stand_in(
    store: Store,
    catalogue: DatasetRef,
    last: DatasetRef,
    *,
    cut: datetime,
    as_of: date,
    why: Exception,
) -> DatasetRef:
    """The catalogue's embeddings as far as the lake has them."""
    encoder = last.figures["encoder"]
    hashes = content_hashes(store, catalogue)
    distinct = hashes.filter(hashes != "").unique()
    needed, left = embeddings_of(store, encoder).cover(distinct)
    key = fingerprint(embed_key(encoder, catalogue.key), DEGRADED, left.sort().to_list())
    folder = store.folder("embeddings", as_of, key)
    return store.commit(
        "embeddings",
        as_of,
        key,
        files=[os.path.relpath(path, folder) for path in needed],
        rows=len(distinct) - len(left),
        figures={
            "encoder": encoder,
            "dim": last.figures["dim"],
            **text_counts(hashes, distinct, left),
            "texts_encoded": 0,
            "texts_left": len(left),
            "tokens": 0,
            "description": last.figures["description"],
            SEEN_UNTIL: horizon_of(cut, catalogue),
            DEGRADED: f"last good vectors, {len(left):,} texts have none: {first_line(why)}",
        },
    )


def _embed(
    store: Store,
    catalogue: DatasetRef,
    config: Config,
    *,
    as_of: date,
    progress: Progress | None,
) -> DatasetRef:
    identity = identify_encoder(config.encoder)
    key = embed_key(identity.key, catalogue.key)
    if earlier := store.reuse("embeddings", as_of, key):
        return earlier
    parts = embeddings_of(store, identity.key)
    hashes = content_hashes(store, catalogue)
    distinct = hashes.filter(hashes != "").unique()
    needed, missing = parts.cover(distinct)
    dim, tokens = identity.files.width, 0
    if len(missing):
        encoder = load_encoder(config.encoder, threads=config.runtime.threads)
        encode_missing(encoder, parts, texts_of(store, catalogue, missing), progress)
        needed, still_missing = parts.cover(distinct)
        if len(still_missing):
            raise ContractError(f"{len(still_missing)} texts of the catalogue were not encoded")
        dim, tokens = encoder.dim, encoder.tokens_encoded
    folder = store.folder("embeddings", as_of, key)
    return store.commit(
        "embeddings",
        as_of,
        key,
        files=[os.path.relpath(path, folder) for path in needed],
        rows=len(distinct),
        figures={
            "encoder": identity.key,
            "dim": dim,
            **text_counts(hashes, distinct, missing),
            "tokens": tokens,
            "description": identity.description,
            SEEN_UNTIL: horizon_of(cut_of(as_of, config.time_zone), catalogue),
        },
    )
