"""Stage embed: each text once, nothing twice, nothing lost."""

from __future__ import annotations

import hashlib
import threading
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from pwrank import embed as stage
from pwrank.config import Config, EncoderConfig, RuntimeConfig, SourceConfig
from pwrank.datasets import CATALOGUE, DatasetRef, IdTypes, embeddings_schema
from pwrank.embed import count_missing_texts, embed, read_embeddings
from pwrank.encoder import parts as embedding_parts
from pwrank.encoder.text_encoder import TextEncoder, load_encoder
from pwrank.errors import ContractError, LakeError, ModelUnavailableError
from pwrank.store import Store, write_dataset
from tests.library.tiny_models import tiny_model

DAY = date(2026, 3, 1)


class KilledError(Exception):
    """Stands in for SIGKILL."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def config(model, tmp_path) -> Config:
    return Config(
        lake=tmp_path / "lake",
        source=SourceConfig(),
        encoder=EncoderConfig(model=str(model), device="cpu"),
        runtime=RuntimeConfig(threads=1),
    )


@pytest.fixture
def store(config) -> Store:
    return Store(config.lake).open()


@pytest.fixture
def encoded(monkeypatch) -> list[str]:
    """Every text that goes through the model."""
    texts: list[str] = []
    encode = TextEncoder.encode

    def counting(self, block, **options):
        texts.extend(block)
        return encode(self, block, **options)

    monkeypatch.setattr(TextEncoder, "encode", counting)
    return texts


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def catalogue(store: Store, *files: list[str], as_of: date = DAY) -> DatasetRef:
    """A committed catalogue with the given texts, one list a file."""
    key = hashlib.sha256(repr(files).encode()).hexdigest()[:16]
    folder = store.folder("catalogue", as_of, key)
    names, rows = [], 0
    for number, texts in enumerate(files):
        frame = pl.DataFrame(
            {
                "item_id": [f"{number}-{i}" for i in range(len(texts))],
                "title": texts,
                "category": [""] * len(texts),
                "available": [True] * len(texts),
                "text": texts,
                "content_hash": [hash_of(text) for text in texts],
            }
        )
        names.append(f"part-{number:05d}.parquet")
        rows += write_dataset(store, CATALOGUE, frame, folder / names[-1], IdTypes())
    return store.commit("catalogue", as_of, key, files=names, rows=rows)


def texts(start: int, stop: int) -> list[str]:
    return [f"word{number % 90} word{number // 90}" for number in range(start, stop)]


def vectors_of(store: Store, ref: DatasetRef, wanted: list[str]) -> np.ndarray:
    return read_embeddings(store, ref, [hash_of(text) for text in wanted])


# --- each text once --------------------------------------------------------------------------


def test_every_text_gets_the_vector_that_the_encoder_gives_it(store, config):
    known = texts(0, 50)
    ref = embed(store, catalogue(store, known), config, as_of=DAY)
    expected = load_encoder(config.encoder, threads=1).encode(known)
    np.testing.assert_array_equal(vectors_of(store, ref, known[::-1]), expected[::-1])
    assert (ref.name, ref.rows, ref.figures["dim"]) == ("embeddings", 50, 32)


def test_identical_texts_are_encoded_once_and_empty_ones_never(store, config, encoded):
    ref = embed(store, catalogue(store, ["a", "b", "a", ""], ["b", "", "c"]), config, as_of=DAY)
    assert sorted(encoded) == ["a", "b", "c"]
    counts = {name: ref.figures[name] for name in ref.figures if name.startswith("texts_")}
    assert counts == {
        "texts_total": 7,
        "texts_empty": 2,
        "texts_encoded": 3,
        "texts_reused": 0,
    }
    assert ref.figures["tokens"] == 9


def test_empty_and_unknown_texts_have_zero_rows(store, config):
    ref = embed(store, catalogue(store, ["a", ""]), config, as_of=DAY)
    vectors = vectors_of(store, ref, ["", "a", "never seen", "a"])
    np.testing.assert_array_equal(np.abs(vectors).sum(axis=1) > 0, [False, True, False, True])
    np.testing.assert_array_equal(vectors[1], vectors[3])


def test_a_catalogue_without_any_text_has_no_vectors_but_a_width(store, config, encoded):
    ref = embed(store, catalogue(store, ["", ""]), config, as_of=DAY)
    assert (ref.rows, ref.files, ref.figures["texts_encoded"]) == (0, (), 0)
    assert vectors_of(store, ref, ["", "x"]).shape == (2, 32)
    assert encoded == []


def test_the_next_date_encodes_only_what_is_new(store, config, encoded):
    embed(store, catalogue(store, texts(0, 30)), config, as_of=DAY)
    encoded.clear()
    later = DAY + timedelta(days=1)
    known = catalogue(store, texts(10, 40), as_of=later)
    assert count_missing_texts(store, known, config) == 10
    ref = embed(store, known, config, as_of=later)
    assert sorted(encoded) == sorted(texts(30, 40))
    assert (ref.figures["texts_encoded"], ref.figures["texts_reused"]) == (10, 20)
    assert np.all(np.linalg.norm(vectors_of(store, ref, texts(10, 40)), axis=1) > 0.99)


def test_the_same_date_again_reuses_and_loads_no_model(store, config, monkeypatch):
    known = catalogue(store, texts(0, 10))
    first = embed(store, known, config, as_of=DAY)
    monkeypatch.setattr(stage, "load_encoder", lambda *_, **__: pytest.fail("loaded"))
    again = embed(store, known, config, as_of=DAY)
    assert again.reused
    assert (again.key, again.files) == (first.key, first.files)


def test_a_date_with_nothing_new_loads_no_model(store, config, monkeypatch):
    embed(store, catalogue(store, texts(0, 10)), config, as_of=DAY)
    monkeypatch.setattr(stage, "load_encoder", lambda *_, **__: pytest.fail("loaded"))
    later = DAY + timedelta(days=1)
    ref = embed(store, catalogue(store, texts(5, 10), as_of=later), config, as_of=later)
    assert ref.figures["texts_reused"] == 5


def test_another_prompt_is_another_encoder(store, config, encoded):
    known = catalogue(store, texts(0, 5))
    plain = embed(store, known, config, as_of=DAY)
    prompted = config.model_copy(
        update={"encoder": config.encoder.model_copy(update={"prompt": "word9 "})}
    )
    other = embed(store, known, prompted, as_of=DAY)
    assert len(encoded) == 10
    assert plain.figures["encoder"] != other.figures["encoder"]
    assert not np.allclose(
        vectors_of(store, plain, texts(0, 5)), vectors_of(store, other, texts(0, 5))
    )


# --- nothing lost ----------------------------------------------------------------------------


def test_after_a_kill_only_the_rest_is_encoded(store, config, encoded, monkeypatch):
    monkeypatch.setattr(stage, "BLOCK_TEXTS", 20)
    known = catalogue(store, texts(0, 45), texts(40, 90))
    done = 0

    def kill_in_the_third_block(count: int) -> None:
        nonlocal done
        done += count
        if done > 40:
            raise KilledError

    with pytest.raises(KilledError):
        embed(store, known, config, as_of=DAY, progress=kill_in_the_third_block)
    assert store.refs("embeddings") == []
    assert count_missing_texts(store, known, config) == 50
    encoded.clear()
    ref = embed(store, known, config, as_of=DAY)
    assert len(encoded) == len(set(encoded)) == 50
    assert (ref.rows, ref.figures["texts_reused"]) == (90, 40)
    expected = load_encoder(config.encoder, threads=1).encode(texts(0, 90))
    np.testing.assert_array_equal(vectors_of(store, ref, texts(0, 90)), expected)


def test_vectors_that_are_not_finite_are_refused_and_not_written(store, config, monkeypatch):
    monkeypatch.setattr(
        TextEncoder, "encode", lambda self, block, **_: np.full((len(block), 32), np.nan, "f4")
    )
    with pytest.raises(ContractError, match="4 of 4 vectors that are not finite"):
        embed(store, catalogue(store, texts(0, 4)), config, as_of=DAY)
    assert not list(config.lake.glob("embeddings/*/part-*"))


def test_a_vector_too_few_is_refused(store, config, monkeypatch):
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda *a, **k: encode(*a, **k)[1:])
    with pytest.raises(ContractError, match="4 texts were encoded to 3 vectors"):
        embed(store, catalogue(store, texts(0, 4)), config, as_of=DAY)


def test_a_model_that_is_not_here_is_said_so(store, config):
    absent = config.model_copy(
        update={"encoder": EncoderConfig(model="nobody/no-such-model", device="cpu")}
    )
    with pytest.raises(ModelUnavailableError):
        embed(store, catalogue(store, ["a"]), absent, as_of=DAY)


def test_a_damaged_part_is_named(store, config):
    ref = embed(store, catalogue(store, ["a"]), config, as_of=DAY)
    (path,) = ref.file_paths(store.lake)
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(LakeError, match="damaged"):
        vectors_of(store, ref, ["a"])


# --- parts -----------------------------------------------------------------------------------


def nights(store: Store, config: Config, count: int) -> list[DatasetRef]:
    """One new text a night."""
    refs = []
    for night in range(count):
        as_of = DAY + timedelta(days=night)
        refs.append(
            embed(store, catalogue(store, texts(0, night + 1), as_of=as_of), config, as_of=as_of)
        )
    return refs


def test_many_small_parts_become_one_and_earlier_dates_still_read(store, config, monkeypatch):
    monkeypatch.setattr(embedding_parts, "MOST_SMALL_PARTS", 4)
    refs = nights(store, config, 12)
    parts = list(config.lake.glob(f"embeddings/{refs[0].figures['encoder']}/part-*.parquet"))
    assert len(parts) <= 4
    expected = load_encoder(config.encoder, threads=1).encode(texts(0, 12))
    for night, ref in enumerate(refs):
        known = texts(0, night + 1)
        np.testing.assert_array_equal(vectors_of(store, ref, known), expected[: night + 1])


def test_a_date_whose_parts_were_merged_is_committed_again_without_the_model(
    store, config, monkeypatch
):
    monkeypatch.setattr(embedding_parts, "MOST_SMALL_PARTS", 2)
    first = nights(store, config, 5)[0]
    monkeypatch.setattr(stage, "load_encoder", lambda *_, **__: pytest.fail("loaded"))
    again = embed(store, catalogue(store, texts(0, 1)), config, as_of=DAY)
    assert again.key == first.key
    assert all(path.exists() for path in again.file_paths(store.lake))


def test_full_parts_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_parts, "FULL_ROWS", 10)
    monkeypatch.setattr(embedding_parts, "MOST_SMALL_PARTS", 2)
    parts = embedding_parts.EmbeddingParts(tmp_path)
    one = np.eye(1, 4, dtype=np.float32)
    full = parts.write([f"full{i}" for i in range(10)], one.repeat(10, axis=0))
    for i in range(7):
        parts.write([f"{i}a", f"{i}b"], one.repeat(2, axis=0))
    before = full.stat().st_mtime_ns
    parts.merge_small()
    assert full.stat().st_mtime_ns == before
    rows = [pl.read_parquet(path).height for path in parts.paths()]
    assert sorted(rows) == [4, 10, 10]
    assert pl.read_parquet(full).schema == embeddings_schema(4)


def test_reading_survives_a_merge_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_parts, "MOST_SMALL_PARTS", 2)
    parts = embedding_parts.EmbeddingParts(tmp_path / "embeddings" / "key")
    vectors = np.eye(64, dtype=np.float32)
    names = [f"{i:02d}" for i in range(64)]
    for i in range(0, 64, 2):
        parts.write(names[i : i + 2], vectors[i : i + 2])
    files = tuple(path.name for path in parts.paths())
    ref = DatasetRef(
        "embeddings", DAY, "k", "embeddings/key", files, 64, {"dim": 64, "encoder": "key"}
    )
    merging = threading.Thread(target=parts.merge_small)
    merging.start()
    for _ in range(5):
        assert len(parts.cover(pl.Series(names))[1]) == 0
        np.testing.assert_array_equal(read_embeddings(Store(tmp_path), ref, names), vectors)
    merging.join()
    assert len(parts.paths()) == 1
