"""Token sequences packed into blocks of one fixed shape, with attention inside each sequence.

A matrix product may round differently when its number of rows changes, so a batch that fits the
texts at hand gives each text a vector that depends on its neighbours. Here every block has the same
shape, whatever is in it: sequences lie end to end without padding between them, and filler takes
the rest. Then a vector depends on its text alone, byte for byte (tests/library/test_encoder.py).
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pwrank.encoder.pooling import Pooling

PACKED_ATTENTION = "pwrank_packed"
"""Name under which transformers knows `packed_attention`."""

MOST_TOGETHER = 16
"""Sequences whose attention is one product, on a processor in bfloat16."""


@dataclass(frozen=True)
class Run:
    """`count` sequences of `length` tokens each, from token `start` of a block."""

    start: int
    count: int
    length: int

    @property
    def tokens(self) -> slice:
        """The rows that this run takes in a block."""
        return slice(self.start, self.start + self.count * self.length)


@dataclass(frozen=True)
class Block:
    """What goes through the model together."""

    texts: npt.NDArray[np.int64]
    """(n,) which texts, in the order of their rows."""
    tokens: npt.NDArray[np.int64]
    """(size,) token ids, filler last."""
    positions: npt.NDArray[np.int64]
    """(size,) position of each token in its sequence."""
    runs: tuple[Run, ...]


def pack(sequences: Sequence[Sequence[int]], size: int, *, mixed: bool) -> Iterator[Block]:
    """Cut sequences (none longer than `size`) into blocks of `size` tokens, longest first.

    `mixed` allows several lengths in a block; without, its runs have one length.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    order = np.lexsort((np.arange(len(lengths)), -lengths))
    chosen: list[int] = []
    used = 0
    for text in order.tolist():
        length = int(lengths[text])
        differs = bool(chosen) and not mixed and length != lengths[chosen[0]]
        if used + length > size or differs:
            yield _block(chosen, sequences, size)
            chosen, used = [], 0
        chosen.append(text)
        used += length
    if chosen:
        yield _block(chosen, sequences, size)


def _block(texts: list[int], sequences: Sequence[Sequence[int]], size: int) -> Block:
    filler = sequences[texts[0]][0]
    tokens = np.full(size, filler, np.int64)
    positions = np.zeros(size, np.int64)
    runs: list[Run] = []
    start = 0
    for length, group in itertools.groupby(texts, key=lambda text: len(sequences[text])):
        members = list(group)
        run = Run(start, len(members), length)
        tokens[run.tokens] = np.concatenate([sequences[text] for text in members])
        positions[run.tokens] = np.tile(np.arange(length), len(members))
        runs.append(run)
        start = run.tokens.stop
    return Block(np.array(texts, np.int64), tokens, positions, tuple(runs))


_current = threading.local()
"""The runs of the block that this thread is sending through a model."""


def packed_hidden_states(model: nn.Module, block: Block, first_position: int) -> Tensor:
    """Last hidden states (size, dim) of a model that is set to PACKED_ATTENTION."""
    device = next(model.parameters()).device
    _current.runs = block.runs
    output = model(
        input_ids=torch.from_numpy(block.tokens)[None].to(device),
        position_ids=torch.from_numpy(block.positions + first_position)[None].to(device),
    )
    hidden: Tensor = output.last_hidden_state[0]
    return hidden


def rectangular_hidden_states(model: nn.Module, block: Block) -> Tensor:
    """Last hidden states (rows * length, dim) of a block whose sequences have one length."""
    device = next(model.parameters()).device
    length = block.runs[0].length
    rows = len(block.tokens) // length
    tokens = torch.from_numpy(block.tokens[: rows * length]).view(rows, length).to(device)
    output = model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    hidden: Tensor = output.last_hidden_state.flatten(0, 1)
    return hidden


def pool(hidden: Tensor, runs: Sequence[Run], pooling: Pooling) -> Tensor:
    """One float32 unit vector per sequence (n, dim), in the order of the runs."""
    vectors = []
    for run in runs:
        states = hidden[run.tokens].view(run.count, run.length, -1)
        if pooling == "mean":
            vectors.append(states.float().mean(dim=1))
        else:
            vectors.append(states[:, 0 if pooling == "cls" else -1].float())
    return nn.functional.normalize(torch.cat(vectors), dim=1, eps=1e-12)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 (there is none when packed)
    *,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of transformers' interface over (1, heads, size, width), sequence by sequence.

    Returns (1, size, heads, width). Arguments that change attention (windows, caps, sinks) are not
    looked at: a model that uses them fails the comparison that decides whether it may be packed.
    """
    if is_causal is None:
        is_causal = bool(getattr(module, "is_causal", True))
    queries, keys, values = (states[0].transpose(0, 1) for states in (query, key, value))
    return _run_by_run(queries, keys, values, scaling=scaling, is_causal=is_causal)[None], None


def packed_offsets(device: torch.device) -> Tensor | None:
    """(n + 1,) int32: where each sequence of this thread's block begins, and the last one ends.

    None where attention goes run by run: on a processor, or with a torch that knows no other way.
    """
    if device.type != "cuda" or _varlen_attention() is None:
        return None
    starts = [np.arange(run.start, run.tokens.stop, run.length) for run in _current.runs]
    offsets = np.concatenate([*starts, [_current.runs[-1].tokens.stop]]).astype(np.int32)
    return torch.from_numpy(offsets).to(device)


def attend_packed(query: Tensor, key: Tensor, value: Tensor, offsets: Tensor | None) -> Tensor:
    """Attention of every token to all of its sequence: (size, heads, width), of one thread's block.

    offsets: `packed_offsets` of the block; tokens of no sequence get anything.
    """
    # Last, since to look for it imports 800 modules: longer than a quiet night's texts take.
    if offsets is None or value.dtype == torch.float32 or (attend := _varlen_attention()) is None:
        return _run_by_run(query, key, value, scaling=None, is_causal=False)
    longest = _current.runs[0].length
    mixed: Tensor = attend(query, key, value, offsets, offsets, longest, longest)
    return mixed


@functools.cache
def _varlen_attention() -> Callable[..., Any] | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def _run_by_run(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    scaling: float | None,
    is_causal: bool,
) -> Tensor:
    """Attention over (size, heads, width); several queries may share a key."""
    grouped = keys.shape[1] != queries.shape[1]
    result = torch.zeros(
        (*queries.shape[:2], values.shape[2]), dtype=values.dtype, device=values.device
    )
    for run in _current.runs:
        q, k, v = (
            states[run.tokens]
            .reshape(run.count, run.length, *states.shape[1:])
            .transpose(1, 2)
            .to(values.dtype)
            for states in (queries, keys, values)
        )
        if v.dtype == torch.bfloat16 and v.device.type == "cpu" and not (is_causal or grouped):
            attended = _attend(q, k, v, scaling)
        else:
            attended = nn.functional.scaled_dot_product_attention(
                q, k, v, scale=scaling, is_causal=is_causal, enable_gqa=grouped
            )
        result[run.tokens] = attended.transpose(1, 2).flatten(0, 1)
    return result


def _attend(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """Attention (n, heads, length, width) as products in bfloat16 and a softmax in float32.

    On a processor 30 to 45 % faster than the fused kernel, whose exponentials take longer.
    """
    texts, heads, length, width = value.shape
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    sides = ((query * scale).flatten(0, 1), key.flatten(0, 1).transpose(1, 2), value.flatten(0, 1))
    closeness = value.new_empty(texts * heads, length, length)
    mixed = value.new_empty(texts * heads, length, width)
    pieces = [slice(start * heads, end * heads) for start, end in _pieces(texts)]
    for piece in pieces:
        torch.bmm(sides[0][piece], sides[1][piece], out=closeness[piece])
    closeness = torch.softmax(closeness, dim=-1, dtype=torch.float32).to(value.dtype)
    for piece in pieces:
        torch.bmm(closeness[piece], sides[2][piece], out=mixed[piece])
    return mixed.view(value.shape)


def _pieces(texts: int) -> Iterator[tuple[int, int]]:
    """Start and end of each piece: 1, 2, 4, … texts, MOST_TOGETHER at most, the largest first.

    oneDNN compiles kernels for each shape of a product, which takes milliseconds, and keeps half a
    megabyte of each; texts as many as there happen to be of one length are no end of shapes.
    """
    start = 0
    while start < texts:
        end = start + min(1 << ((texts - start).bit_length() - 1), MOST_TOGETHER)
        yield start, end
        start = end


def register_packed_attention() -> None:
    """Make PACKED_ATTENTION known to transformers; it builds no mask for it."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
