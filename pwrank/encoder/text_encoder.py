"""A pre-trained Hugging Face encoder or decoder as a function from texts to unit vectors.

Equal keys mean equal vectors: the key names the weights, the tokenizer and every setting that a
vector depends on, and a vector depends on nothing else, neither on its batch nor on the number of
threads (see packing.py). Between processors of different kinds only rounding differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pwrank.config import EncoderConfig
from pwrank.encoder.bfloat16 import CardLinear, LaidOutLinear
from pwrank.encoder.files import EncoderFiles, find_encoder_files
from pwrank.encoder.loading import (
    LoadedModel,
    Precision,
    choose_device,
    choose_precision,
    load_model,
)
from pwrank.encoder.packing import (
    Block,
    pack,
    packed_hidden_states,
    pool,
    rectangular_hidden_states,
)
from pwrank.encoder.pooling import Pooling
from pwrank.encoder.tokenising import Tokeniser
from pwrank.machine import keep_freed_memory
from pwrank.store import fingerprint

ALGORITHM = 3
"""Raised when the same texts, weights and settings would give other vectors than before."""

WINDOW = 8192
"""Texts tokenised together, while the window before is in the model."""

BLOCK_TOKENS = {"cpu": 1024, "cuda": 65_536}
"""Tokens of a block. Activations of 1,024 tokens stay in a processor's cache: 2,048 were slower. A
card must have work for longer than Python takes to ask for it."""

CUDA_WORKERS = 2
"""One prepares a block and fetches vectors while the other's block is on the card."""

CUDA_TOKENISING = 16
"""Threads that tokenise for a card: one makes 400,000 tokens a second, 16 of them 3.3 million."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncoderIdentity:
    """What is known of an encoder without loading it."""

    key: str
    """16 hex digits; equal keys mean equal vectors."""
    description: dict[str, str | int]
    """For manifests."""
    files: EncoderFiles
    device: str
    precision: Precision


def identify_encoder(config: EncoderConfig) -> EncoderIdentity:
    """Find the model and hash what its vectors depend on. Raises ModelUnavailableError."""
    files = find_encoder_files(config)
    device = choose_device(config)
    precision = choose_precision(config, device)
    settings = (files.pooling, config.max_length, config.prompt, precision)
    description: dict[str, str | int] = {
        "model": files.name,
        "revision": files.revision,
        "weights_sha256": files.weights_sha256,
        "pooling": files.pooling,
        "prompt": config.prompt,
        "max_length": config.max_length,
        "precision": precision,
        "algorithm": ALGORITHM,
    }
    key = fingerprint(ALGORITHM, *files.identity, *settings)
    return EncoderIdentity(key, description, files, device, precision)


def encoder_key(config: EncoderConfig) -> str:
    """Key of the encoder that this configuration gives on this machine, without loading it."""
    return identify_encoder(config).key


def load_encoder(config: EncoderConfig, *, threads: int = 0) -> TextEncoder:
    """Load a model from this machine; `threads` 0 takes as many as torch would.

    Raises ModelUnavailableError, with what to do, when the model is not here or not usable.
    """
    identity = identify_encoder(config)
    keep_freed_memory()
    loaded = load_model(
        identity.files,
        max_length=config.max_length,
        precision=identity.precision,
        device=identity.device,
    )
    return TextEncoder(identity, loaded, workers=threads or torch.get_num_threads())


class TextEncoder:
    """A loaded model; use `load_encoder` to make one."""

    key: str
    """16 hex digits; equal keys mean equal vectors."""
    dim: int
    """Width of a vector."""
    description: dict[str, str | int]
    """For manifests."""
    tokens_encoded: int
    """Tokens that have gone through the model so far, filler not counted."""

    def __init__(self, identity: EncoderIdentity, loaded: LoadedModel, *, workers: int) -> None:
        self.key = identity.key
        self.description = identity.description
        self._loaded = loaded
        prompt = str(identity.description["prompt"])
        threads = CUDA_TOKENISING if identity.device == "cuda" else 1
        self._tokenise = Tokeniser(loaded.tokenizer, loaded.max_length, prompt, threads)
        self._pooling: Pooling = identity.files.pooling
        self._device = identity.device
        self._running = _threads_for_blocks(self._device, workers)
        self._tokenising = ThreadPoolExecutor(1)
        least = -(-loaded.max_length // 64) * 64
        self._block_tokens = max(BLOCK_TOKENS[self._device], least)
        self.tokens_encoded = 0
        self.dim = self._run(next(pack([self._tokenise.filler()], 1, mixed=True))).shape[1]

    def encode(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Return unit vectors (n, dim) in the order of the texts.

        `progress` is told how many texts were just done; what it raises stops the work.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        threads = torch.get_num_threads()
        try:
            for start, sequences in self._tokenised(texts):
                window = vectors[start : start + len(sequences)]
                for count in self._encode_window(sequences, window):
                    if progress is not None:
                        progress(count)
        finally:
            torch.set_num_threads(threads)  # a new worker also sets it for the process
        return vectors

    def flops(self, texts: float, tokens_per_text: float) -> float:
        """Of the matrix products and of attention for so many texts."""
        network = self._loaded.network
        layers = [
            m
            for m in network.modules()
            if isinstance(m, torch.nn.Linear | LaidOutLinear | CardLinear)
        ]
        weights = sum(layer.in_features * layer.out_features for layer in layers)
        depth = int(getattr(network.config, "num_hidden_layers", 0))
        tokens = texts * tokens_per_text
        return tokens * (2.0 * weights + 4.0 * tokens_per_text * self.dim * depth)

    def _tokenised(self, texts: Sequence[str]) -> Iterator[tuple[int, list[list[int]]]]:
        """Start and token ids of each window, always one window ahead of the caller."""
        following: Future[list[list[int]]] | None = None
        for start in range(0, len(texts) + WINDOW, WINDOW):
            current = following
            following = (
                self._tokenising.submit(self._tokenise, texts[start : start + WINDOW])
                if start < len(texts)
                else None
            )
            if current is not None:
                yield start - WINDOW, current.result()

    def _blocks(self, sequences: list[list[int]]) -> Iterator[Block]:
        return pack(sequences, self._block_tokens, mixed=self._loaded.first_position is not None)

    def _encode_window(self, sequences: list[list[int]], vectors: Vectors) -> Iterator[int]:
        """Fill `vectors`; yields how many texts each finished block held."""
        running = {
            self._running.submit(self._run, block): block for block in self._blocks(sequences)
        }
        try:
            for future in as_completed(running):
                block = running[future]
                vectors[block.texts] = future.result()
                self.tokens_encoded += sum(run.count * run.length for run in block.runs)
                yield len(block.texts)
        finally:
            for future in running:
                future.cancel()

    def _run(self, block: Block) -> Vectors:
        first = self._loaded.first_position
        with torch.inference_mode():
            if first is None:
                hidden = rectangular_hidden_states(self._loaded.network, block)
            else:
                hidden = packed_hidden_states(self._loaded.network, block, first)
            vectors: Vectors = pool(hidden, block.runs, self._pooling).cpu().numpy()
        return vectors


def _threads_for_blocks(device: str, workers: int) -> ThreadPoolExecutor:
    """Threads that each run whole blocks, single-threaded within: fast, and reproducible.

    They live as long as the encoder: glibc keeps what a thread freed for the threads that come into
    its arena, so that new ones for each call filled one arena after another (CHANGELOG).
    """
    if device == "cuda":
        return ThreadPoolExecutor(CUDA_WORKERS)
    return ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
