"""Who else trains a NeuMF, and the article's loop: each as a function that does some work.

The network is the same for all: towers of 64, hidden layers 128, 64 and 32, no dropout, one
negative for each interaction, 2,048 interactions a step, Adam. The peers train in float32, RecBole
in its mixed precision too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from scipy import sparse

BATCH = 2048
ROWS_OF_THE_ARTICLE = 200


def generated_pairs(users: int, items: int, interactions: int) -> sparse.csr_matrix:
    """Who has what, each pair once: users of like length, items by a power law."""
    from scipy import sparse

    rng = np.random.default_rng(0)
    user = rng.integers(0, users, interactions)
    item = (items * rng.random(interactions) ** 3).astype(np.int64)
    ones = np.ones(interactions, np.float32)
    known = sparse.csr_matrix((ones, (user, item)), shape=(users, items))
    known.sum_duplicates()
    known.data[:] = 1
    return known


def own_epoch(known: sparse.csr_matrix, dtype: torch.dtype) -> Callable[[], object]:
    """One epoch of the baseline on pwrank's board; dtype: of its matrix products."""
    import torch

    from pwrank.evaluation.neumf import train_epoch
    from pwrank.evaluation.neumf_network import new_network
    from pwrank.evaluation.neumf_training import Trainer

    network = new_network(known.shape[0], known.shape[1], torch.Generator().manual_seed(0))
    trainer, rng = Trainer(network, pairs=2 * BATCH, dtype=dtype), np.random.default_rng(1)
    return lambda: train_epoch(trainer, known, rng, negatives=1)


def plain_epoch(known: sparse.csr_matrix) -> Callable[[], object]:
    """One epoch as one would write it in vectorised torch: modules, autograd, torch's Adam."""
    import torch
    from torch import nn

    class NeuMF(nn.Module):
        """Matrix factorisation and a perceptron, side by side."""

        def __init__(self) -> None:
            super().__init__()
            self.factors = nn.ModuleList([nn.Embedding(n, 64) for n in known.shape])
            self.inputs = nn.ModuleList([nn.Embedding(n, 64) for n in known.shape])
            layers: list[nn.Module] = []
            for wide, narrow in itertools.pairwise((128, 128, 64, 32)):
                layers += [nn.Linear(wide, narrow), nn.ReLU()]
            self.perceptron, self.out = nn.Sequential(*layers), nn.Linear(64 + 32, 1)

        def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
            product = self.factors[0](user) * self.factors[1](item)
            pair = torch.cat([self.inputs[0](user), self.inputs[1](item)], dim=1)
            return self.out(torch.cat([product, self.perceptron(pair)], dim=1)).squeeze(1)

    model = NeuMF()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    users, items = (torch.from_numpy(ids.astype(np.int64)) for ids in known.nonzero())

    def epoch() -> None:
        for rows in torch.randperm(len(items)).split(BATCH):
            negative = torch.randint(0, known.shape[1], (len(rows),))
            user = torch.cat([users[rows], users[rows]])
            scores = model(user, torch.cat([items[rows], negative]))
            label = torch.cat([torch.ones(len(rows)), torch.zeros(len(rows))])
            loss = nn.functional.binary_cross_entropy_with_logits(scores, label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def article_rows(known: sparse.csr_matrix) -> Callable[[], object]:
    """ROWS_OF_THE_ARTICLE one at a time: embeddings joined, one linear layer, SGD."""
    import torch
    from torch import nn

    user_table, item_table = (nn.Embedding(n, 64) for n in known.shape)
    layer = nn.Linear(128, 1)
    parameters = [*user_table.parameters(), *item_table.parameters(), *layer.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=1e-2)
    users, items = (torch.from_numpy(ids.astype(np.int64)) for ids in known.nonzero())

    def some_rows() -> None:
        for row in range(ROWS_OF_THE_ARTICLE):
            pair = torch.cat([user_table(users[row]), item_table(items[row])])
            loss = (layer(pair).squeeze() - 1.0).square()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return some_rows


class RecBole(contextlib.AbstractContextManager["RecBole"]):
    """RecBole's NeuMF in a process of its own, since it needs an older numpy."""

    def __init__(self, python: Path, known: sparse.csr_matrix, precision: str) -> None:
        """python: of the environment that has RecBole. It waits while others work.

        precision: float32, or bfloat16 for its mixed precision (torch.autocast).
        """
        self._folder = tempfile.TemporaryDirectory()
        user, item = known.nonzero()
        np.savez(Path(self._folder.name, "log.npz"), user=user, item=item)
        command = [python.absolute(), Path(__file__).with_name("recbole_peer.py"), precision]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self._folder.name
        )

    def epoch(self) -> tuple[float, float]:
        """Wall and processor time of one epoch. Raises EOFError if the process has ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                told = json.loads(line)
                return told["wall"], told["processor"]
        raise EOFError("RecBole ended: see its last lines on stderr")

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.communicate()
        self._folder.cleanup()
