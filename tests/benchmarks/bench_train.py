"""Training: an epoch of the default encoder against a plain NeuMF and the article's own loop.

    python tests/benchmarks/bench_train.py [--json] [--repeats 3] [--interactions 20000]

NeuMF (He et al. 2017, as RecBole has it: both towers of 64, hidden layers 128-64-32, one sampled
negative a positive, batches of 2,048, Adam) is written here in vectorised torch: RecBole 1.2 needs
`np.float_`, which numpy 2 does not have. The article's loop takes one row at a time through an
embedding model (concatenation, one linear layer, squared error, SGD).

The encoder does more for an interaction than its peers: it reads the history before it and ranks
the target against 1,024 items. Its FLOPs are counted, and told as a share of the matrix product
rate that the same process reaches.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pwrank.ranker.history import Histories

ITEMS, USERS, TEXT_DIM = 10_000, 400, 384
ROWS_OF_THE_ARTICLE = 200


def some_log(interactions: int) -> Histories:
    """Users of like length; items by a power law."""
    from pwrank.ranker.history import Histories

    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(0, USERS, interactions))
    offsets = np.searchsorted(user, np.arange(USERS + 1)).astype(np.int64)
    since = np.arange(interactions) - offsets[user]
    return Histories(
        offsets=offsets,
        item=(ITEMS * rng.random(interactions) ** 3).astype(np.int64),
        timestamp=(1_700_000_000 + user * 10 + since * 86_400).astype(np.int64),
        event=np.zeros(interactions, np.int16),
        rating=np.full(interactions, np.nan, np.float32),
        weight=np.ones(interactions, np.float32),
    )


def pwrank_epoch(log: Histories) -> Any:
    """A function that trains one epoch of the default encoder."""
    import torch

    from pwrank.config import TrainConfig
    from pwrank.ranker.catalogue import plain_catalogue
    from pwrank.ranker.encoder_training import train_epoch
    from pwrank.ranker.fitting import build_ranker, prepare_encoder_task
    from pwrank.ranker.held_out_training import Evidence
    from pwrank.ranker.moving_average import MovingAverage
    from pwrank.ranker.optimising import make_optimizer
    from pwrank.ranker.popularity import item_activity

    rng = np.random.default_rng(1)
    text = rng.standard_normal((ITEMS, TEXT_DIM)).astype(np.float32)
    catalogue = plain_catalogue(np.arange(ITEMS), text / np.linalg.norm(text, axis=1)[:, None])
    config = TrainConfig(ease_items=500, prior_steps=2)
    evidence = Evidence(log, catalogue, item_activity(log, ITEMS), repeats=False)
    torch.manual_seed(0)
    ranker = build_ranker(log, catalogue, config, 0)
    task = prepare_encoder_task(ranker, log, evidence, config, ridge=300.0)
    optimizer = make_optimizer(ranker, config)
    average = MovingAverage(ranker, config.averaging)
    return lambda: train_epoch(ranker, task, optimizer, average, np.random.default_rng(2))


def neumf_epoch(log: Histories) -> Any:
    """A function that trains one epoch of NeuMF."""
    import torch
    from torch import nn

    class NeuMF(nn.Module):
        """Matrix factorisation and a perceptron, side by side."""

        def __init__(self) -> None:
            super().__init__()
            self.factors = nn.ModuleList([nn.Embedding(n, 64) for n in (USERS, ITEMS)])
            self.inputs = nn.ModuleList([nn.Embedding(n, 64) for n in (USERS, ITEMS)])
            sizes = (128, 128, 64, 32)
            layers: list[nn.Module] = []
            for wide, narrow in itertools.pairwise(sizes):
                layers += [nn.Linear(wide, narrow), nn.ReLU()]
            self.perceptron, self.out = nn.Sequential(*layers), nn.Linear(64 + 32, 1)

        def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
            product = self.factors[0](user) * self.factors[1](item)
            pair = torch.cat([self.inputs[0](user), self.inputs[1](item)], dim=1)
            return self.out(torch.cat([product, self.perceptron(pair)], dim=1)).squeeze(1)

    model = NeuMF()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    users, items = torch.from_numpy(log.user), torch.from_numpy(log.item)

    def epoch() -> None:
        for rows in torch.randperm(len(items)).split(2048):
            negative = torch.randint(0, ITEMS, (len(rows),))
            user = torch.cat([users[rows], users[rows]])
            scores = model(user, torch.cat([items[rows], negative]))
            label = torch.cat([torch.ones(len(rows)), torch.zeros(len(rows))])
            loss = nn.functional.binary_cross_entropy_with_logits(scores, label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def article_rows(log: Histories) -> Any:
    """A function that trains the article's embedding model on some rows, one at a time."""
    import torch
    from torch import nn

    user_table, item_table = nn.Embedding(USERS, 64), nn.Embedding(ITEMS, 64)
    layer = nn.Linear(128, 1)
    parameters = [*user_table.parameters(), *item_table.parameters(), *layer.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=1e-2)
    users, items = torch.from_numpy(log.user), torch.from_numpy(log.item)

    def some_rows() -> None:
        for row in range(ROWS_OF_THE_ARTICLE):
            pair = torch.cat([user_table(users[row]), item_table(items[row])])
            loss = (layer(pair).squeeze() - 1.0).square()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return some_rows


def main() -> None:
    """Run and print."""
    from flows.environment import prepare_environment

    prepare_environment()
    import torch
    from ceiling import alternate, product_rate
    from torch.utils.flop_counter import FlopCounterMode

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--interactions", type=int, default=20_000)
    options = parser.parse_args()
    log = some_log(options.interactions)
    epoch = pwrank_epoch(log)
    with FlopCounterMode(display=False) as counter:
        epoch()
    flops = counter.get_total_flops() / options.interactions
    result: dict[str, Any] = {"flops_per_interaction": flops}
    for name, peer, rows in (
        ("NeuMF", neumf_epoch(log), options.interactions),
        ("the article's loop", article_rows(log), ROWS_OF_THE_ARTICLE),
    ):
        told = alternate(epoch, peer, units=(options.interactions, rows), repeats=options.repeats)
        rate = flops / told.own / product_rate(torch.float32)
        result[name] = {
            "pwrank_interactions_per_s": 1 / told.own,
            "peer_interactions_per_s": 1 / told.peer,
            "ratio": told.ratio,
            "ratio_processor": told.ratio_processor,
            "share_of_product_rate": rate,
        }
        print(line(name, result[name]), file=sys.stderr if options.json else sys.stdout)
    if options.json:
        json.dump(result, sys.stdout, indent=1)


def line(name: str, figures: dict[str, float]) -> str:
    """One comparison for people."""
    return (
        f"train: pwrank {figures['pwrank_interactions_per_s']:,.0f} interactions/s "
        f"({figures['share_of_product_rate']:.0%} of the product rate), "
        f"{name} {figures['peer_interactions_per_s']:,.0f}: {figures['ratio']:.2f} times "
        f"({figures['ratio_processor']:.2f} in processor time)"
    )


if __name__ == "__main__":
    main()
