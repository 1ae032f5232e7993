"""Loading a model from its folder, and finding out how it may be run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from pwrank.config import EncoderConfig
from pwrank.encoder.bert import Bert, read_bert
from pwrank.encoder.bfloat16 import multiply_in_bfloat16
from pwrank.encoder.files import EncoderFiles
from pwrank.encoder.packed_bert import PackedBert
from pwrank.encoder.packing import (
    PACKED_ATTENTION,
    pack,
    packed_hidden_states,
    rectangular_hidden_states,
    register_packed_attention,
)
from pwrank.encoder.word_pieces import read_word_pieces
from pwrank.errors import ConfigError, ModelUnavailableError, first_line
from pwrank.machine import multiplies_bfloat16

PACKED_TOLERANCE = 1e-3
"""Largest relative difference in float32 at which packed and plain hidden states are the same."""

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory and how to run it."""

    tokenizer: Any
    network: nn.Module
    max_length: int
    """Tokens that a text may have: as configured, if the model has as many positions."""
    first_position: int | None
    """Position id of a first token; None for a model that cannot be packed."""


def load_model(files: EncoderFiles, *, max_length: int, precision: str, device: str) -> LoadedModel:
    """Load a model. Raises ModelUnavailableError if its files cannot be read."""
    try:
        tokenizer, network = _load(files)
        limit = min(max_length, _most_tokens(tokenizer, network))
        first_position = 0 if isinstance(network, Bert) else _find_first_position(network, limit)
        if first_position is not None:
            network = _with_less_between(network, limit, first_position)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelUnavailableError(
            f"[encoder] model {files.name!r}: {files.folder} cannot be loaded: {first_line(error)}"
        ) from error
    if precision == "bfloat16":
        multiply_in_bfloat16(network, device=device)
    return LoadedModel(tokenizer, network.to(device), limit, first_position)


def choose_device(config: EncoderConfig) -> str:
    """Resolve `auto` to CUDA where there is one. Raises ConfigError for a missing CUDA."""
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        raise ConfigError("[encoder] device = 'cuda': torch finds none here; use 'auto' or 'cpu'")
    return "cuda" if there and config.device != "cpu" else "cpu"


def choose_precision(config: EncoderConfig, device: str) -> Precision:
    """Choose bfloat16 where it is multiplied natively; emulated, it is slower than float32."""
    if config.precision != "auto":
        return config.precision
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = multiplies_bfloat16()
    return "bfloat16" if native else "float32"


def _load(files: EncoderFiles) -> tuple[Any, Any]:
    """Tokenizer and float32 model from a folder; nothing is downloaded, no code of its is run."""
    tokenizer: Any = read_word_pieces(files.folder)
    network: Any = read_bert(files.folder, files.settings) if tokenizer else None
    if network:
        return tokenizer, network
    from transformers import AutoModel, AutoTokenizer

    with _quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(
            files.folder, local_files_only=True, trust_remote_code=False
        )
        network = AutoModel.from_pretrained(
            files.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
    network.config.use_cache = False
    return tokenizer, network.eval()


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Switch off transformers' progress bars and its report of unused weights."""
    from transformers.utils import logging

    settings: Any = logging
    verbosity, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(verbosity)
        if bars:
            settings.enable_progress_bar()


def _positions_taken(network: nn.Module) -> int:
    """Position ids before that of a first token: RoBERTa and MPNet count from their padding id."""
    return max(
        (
            module.padding_idx + 1
            for name, module in network.named_modules()
            if name.endswith("position_embeddings")
            and isinstance(module, nn.Embedding)
            and module.padding_idx is not None
        ),
        default=0,
    )


def _most_tokens(tokenizer: Any, network: Any) -> int:
    """Longest sequence that the model has positions for."""
    positions = getattr(network.config, "max_position_embeddings", None)
    own = positions - _positions_taken(network) if positions and positions > 0 else None
    most: int = min(own or tokenizer.model_max_length, tokenizer.model_max_length)
    return most


def _trial(network: Any, longest: int) -> list[list[int]]:
    """Token ids of a long and of a short text."""
    vocabulary = network.config.vocab_size
    ids = np.arange(7, 7 + min(longest, 512)) * 7919 % max(vocabulary - 8, 1) + min(
        8, vocabulary - 1
    )
    return [ids.tolist(), ids[:3].tolist()]


def _with_less_between(network: Any, longest: int, first: int) -> nn.Module:
    """The network as PackedBert, if it is one: then it gives the same hidden states."""
    if isinstance(network, Bert):
        return PackedBert(network)
    sequences = _trial(network, longest)
    block = next(pack(sequences, sum(map(len, sequences)), mixed=True))
    plain: nn.Module = network
    with torch.no_grad(), contextlib.suppress(AttributeError, TypeError, RuntimeError):
        packed = PackedBert(network).eval()
        expected = packed_hidden_states(network, block, first)
        difference = (packed_hidden_states(packed, block, first) - expected).abs().max()
        if difference <= PACKED_TOLERANCE * expected.abs().max():
            return packed
    return plain


def _find_first_position(network: Any, longest: int) -> int | None:
    """Find out by trial whether a model can be packed; None if it cannot.

    Packed, it must give the hidden states that it gives unpacked, for a long and for a short text.
    Models that cannot be told positions or have attention of another kind (MPNet) do not.
    """
    first = _positions_taken(network)
    sequences = _trial(network, longest)
    usual = network.config._attn_implementation  # noqa: SLF001 (there is no public name)
    with torch.inference_mode():
        expected = torch.cat(
            [
                rectangular_hidden_states(network, next(pack([ids], len(ids), mixed=False)))
                for ids in sequences
            ]
        )
        register_packed_attention()
        block = next(pack(sequences, sum(map(len, sequences)), mixed=True))
        with contextlib.suppress(
            AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError
        ):
            network.set_attn_implementation(PACKED_ATTENTION)
            difference = (packed_hidden_states(network, block, first) - expected).abs().max()
            if difference <= PACKED_TOLERANCE * expected.abs().max():
                return first
    network.set_attn_implementation(usual)
    return None
