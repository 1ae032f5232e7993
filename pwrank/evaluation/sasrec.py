"""SASRec (Kang and McAuley 2018) with a full softmax: a causal transformer over item ids only.

The strongest purely sequential baseline where order carries the most. Its work is bounded by a
count of multiplications rather than by a clock, so that the same log gives the same model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pwrank.evaluation.baselines import codes_of
from pwrank.evaluation.early_stopping import train_epochs
from pwrank.evaluation.known_log import KnownLog
from pwrank.evaluation.scored_lists import VectorLists, Vectors

DIM = 64
HEADS = 2
LAYERS = 2
LENGTH = 50
"""Most recent interactions that are read, and that are learned from."""
DROPOUT = 0.3
LEARNING_RATE = 2e-3
EPOCHS = (5, 30)
"""At least and at most."""
PATIENCE = 2
"""Epochs without a better validation figure before stopping."""
LOGIT_CELLS = 12_000_000
"""Logits of one step: 48 MB, and some copies; the step's interactions follow from it."""
USUAL_WORK = 5e12
"""Multiplications of one training: some 100 seconds on two cores."""
MOST_WORK = 3e13
"""Multiplications of one training at most: some 10 minutes on two cores."""

Ints = npt.NDArray[np.int64]


class CausalTransformer(nn.Module):
    """Item ids in order -> one state after each; the item table is input and output."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.item = nn.Embedding(items + 1, DIM, padding_idx=items)
        self.place = nn.Embedding(LENGTH, DIM)
        layer = nn.TransformerEncoderLayer(
            DIM, HEADS, 4 * DIM, DROPOUT, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(DIM)
        for table in (self.item, self.place):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, item: Tensor) -> Tensor:
        """item: (b, l) ids, padding (the number of items) at the end -> (b, l, DIM)."""
        length = item.shape[1]
        states = self.item(item) * math.sqrt(DIM) + self.place.weight[:length]
        states = functional.dropout(states, DROPOUT, self.training)
        future = torch.ones(length, length, dtype=torch.bool, device=item.device).triu(1)
        normed: Tensor = self.norm(self.blocks(states, mask=future))
        return normed


@dataclass(frozen=True)
class Sequences:
    """The newest interactions of each user, oldest first; users as in `history.users`."""

    item: Ints
    """(m,) columns of the history."""
    offsets: Ints
    """(users + 1,)."""

    def padded(self, users: Ints, padding: int) -> Tensor:
        """(b, l) of these users' items, padding at the end; l: the longest of them."""
        lengths = np.diff(self.offsets)[users]
        width = max(int(lengths.max(initial=0)), 1)
        found = np.full((len(users), width), padding, np.int64)
        for row, user in enumerate(users):
            found[row, : lengths[row]] = self.item[self.offsets[user] : self.offsets[user + 1]]
        return torch.from_numpy(found)


def sequences(log: KnownLog) -> Sequences:
    """The last LENGTH interactions of every user with shown items."""
    user = codes_of(log.rows["user_id"], log.matrix.users)
    item = codes_of(log.rows["item_id"], log.matrix.items)
    known = (user >= 0) & (item >= 0)
    user, item = user[known], item[known]
    order = np.argsort(user, kind="stable")
    user, item = user[order], item[order]
    counts = np.bincount(user, minlength=len(log.matrix.users))
    ends = np.cumsum(counts)
    newest = np.arange(len(user)) >= np.repeat(ends - LENGTH, counts)
    counts = np.minimum(counts, LENGTH)
    return Sequences(item[newest], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def epochs_affordable(log: KnownLog) -> int:
    """Epochs within USUAL_WORK, or EPOCHS at least where they are within MOST_WORK; else 0."""
    rows = len(sequences(log).item)
    work = 6.0 * rows * DIM * (len(log.matrix.items) + 24 * LAYERS * DIM)
    least, most = EPOCHS
    if least * work > MOST_WORK:
        return 0
    return int(min(max(USUAL_WORK / max(work, 1.0), least), most))


def fit_sasrec(
    log: KnownLog, *, epochs: int, judge: Callable[[VectorLists], float] | None = None
) -> tuple[VectorLists, int]:
    """Lists of SASRec, and the epochs behind them: see `early_stopping.train_epochs`."""
    seed = torch.Generator().manual_seed(log.seed)
    items = len(log.matrix.items)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(log.seed)
        model = CausalTransformer(items)
        known = sequences(log)
        optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01)
        return train_epochs(
            lambda: _train_epoch(model, known, optimizer, seed),
            lambda: _lists(model, known, log),
            judge,
            epochs=epochs,
            patience=PATIENCE,
        )


def _train_epoch(
    model: CausalTransformer,
    known: Sequences,
    optimizer: torch.optim.Optimizer,
    seed: torch.Generator,
) -> None:
    """One pass over every user with two interactions, users of like length together."""
    model.train()
    items = model.item.num_embeddings - 1
    for users in _batches(known, items, seed):
        item = known.padded(users, items)
        states = model(item[:, :-1])
        target = item[:, 1:]
        there = target != items
        logits = states[there] @ model.item.weight[:items].T
        loss = functional.cross_entropy(logits, target[there])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def _batches(known: Sequences, items: int, seed: torch.Generator) -> list[Ints]:
    """Users in batches of at most LOGIT_CELLS logits, in random order."""
    lengths = np.diff(known.offsets)
    noise = torch.rand(len(lengths), generator=seed).numpy()
    order = np.lexsort((noise, lengths))
    order = order[lengths[order] > 1]
    most = max(LOGIT_CELLS // max(items, 1), LENGTH)
    taken = np.cumsum(lengths[order]) // most
    batches = np.split(order, np.flatnonzero(np.diff(taken)) + 1) if len(order) else []
    return [batches[number] for number in torch.randperm(len(batches), generator=seed)]


@torch.no_grad()
def _lists(model: CausalTransformer, known: Sequences, log: KnownLog) -> VectorLists:
    """Vectors of users with a history after their last interaction; zero for the rest."""
    model.eval()
    items, lengths = len(log.matrix.items), np.diff(known.offsets)
    vectors: Vectors = np.zeros((len(lengths), DIM), np.float32)
    for start in range(0, len(lengths), 1024):
        users = np.arange(start, min(start + 1024, len(lengths)))
        users = users[lengths[users] > 0]
        if len(users):
            states = model(known.padded(users, items))
            last = torch.from_numpy(lengths[users] - 1)
            vectors[users] = states[torch.arange(len(users)), last].numpy()
    table: Vectors = model.item.weight[:items].detach().numpy().copy()
    return VectorLists(log.matrix, vectors, table, log.exclude_seen)
