"""Randomly initialised models of a few kilobytes, made without a network."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

WORDS = [f"word{number}" for number in range(90)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}

ENCODER = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
DECODER = {"vocab_size": len(VOCABULARY), "n_embd": 32, "n_layer": 2, "n_head": 4}


def tiny_model(kind: str, folder: Path) -> Path:
    """Save a model of a kind with its tokenizer, the same weights every time."""
    build = {
        "bert": lambda: BertModel(BertConfig(**ENCODER)),
        "roberta": lambda: RobertaModel(RobertaConfig(**ENCODER | {"pad_token_id": 1})),
        "mpnet": lambda: MPNetModel(MPNetConfig(**ENCODER | {"pad_token_id": 1})),
        "gpt2": lambda: GPT2Model(GPT2Config(**DECODER, n_positions=64)),
        "llama": lambda: LlamaModel(LlamaConfig(**ENCODER | {"num_key_value_heads": 2})),
        "t5": lambda: T5Model(
            T5Config(vocab_size=len(VOCABULARY), d_model=32, d_ff=64, num_layers=1, num_heads=2)
        ),
    }
    torch.manual_seed(5)
    model = build[kind]()
    with torch.no_grad():  # as trained weights would: tell words, places and texts apart
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    _tokenizer(marked=kind not in {"gpt2", "llama"}).save_pretrained(folder)
    return folder


def _tokenizer(*, marked: bool) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]"}
    if marked:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    else:
        names |= {"eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)


def declare_pooling(folder: Path, mode: str, *, after: str | None = None) -> None:
    """Add sentence-transformers' own files to a model."""
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), *([(after, "2")] if after else [])]
    package = "sentence_transformers.models"
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{package}.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    content = {"word_embedding_dimension": 32, f"pooling_mode_{mode}": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(content))
