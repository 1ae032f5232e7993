"""An encoder's memory does not grow with the texts that it has seen."""

from __future__ import annotations

import threading

import pytest
import torch

from pwrank.config import EncoderConfig
from pwrank.encoder import packing
from pwrank.encoder.packing import MOST_TOGETHER, _attend
from pwrank.encoder.text_encoder import load_encoder
from tests.library.tiny_world import WORDS


@pytest.fixture
def shapes(monkeypatch):
    """Shapes of the products that attention asks for: oneDNN keeps kernels of each."""
    found = set()
    multiply = torch.bmm

    def noting(left, right, *, out):
        found.add((tuple(left.shape), tuple(right.shape)))
        return multiply(left, right, out=out)

    monkeypatch.setattr(packing.torch, "bmm", noting)
    return found


def test_attention_has_few_shapes_however_many_texts_come_together(shapes):
    for texts in range(1, 70):
        states = torch.randn(texts, 2, 5, 8).to(torch.bfloat16)
        _attend(states, states, states, None)
    assert len(shapes) == 2 * MOST_TOGETHER.bit_length()


@pytest.mark.parametrize("texts", [1, 7, 16, 45])
def test_attention_in_pieces_is_that_of_all_together(texts):
    query, key, value = torch.randn(3, texts, 2, 5, 8).to(torch.bfloat16)
    closeness = (query * 8**-0.5) @ key.transpose(-1, -2)
    whole = torch.softmax(closeness, dim=-1, dtype=torch.float32).to(value.dtype) @ value
    assert torch.equal(_attend(query, key, value, None), whole)


def test_each_call_runs_in_the_same_threads(tiny_encoder, monkeypatch):
    """New ones each time would each leave an arena of freed memory behind."""
    encoder = load_encoder(EncoderConfig(model=str(tiny_encoder), device="cpu"), threads=2)
    seen, run = set(), encoder._run

    def noting(block):
        seen.add(threading.current_thread())  # the thread itself: an ended one's number comes back
        return run(block)

    monkeypatch.setattr(encoder, "_run", noting)
    for _ in range(5):
        encoder.encode([f"{first} {second}" for first in WORDS for second in WORDS])
    assert 1 <= len(seen) <= 2
