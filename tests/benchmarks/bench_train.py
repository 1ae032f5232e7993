"""Training: NeuMF against RecBole, plain torch and the article's loop; the default encoder's cost.

    make bench-train BENCH="[--json] [--repeats 5]"
    python tests/benchmarks/bench_train.py [--recbole PYTHON] [--users 6000] [--items 10000]

All train the same NeuMF (see neumf_peers.py) on the same pairs, in turn. pwrank does it as on its
board: where the processor multiplies bfloat16 natively, matrix products read and write that, and
weights, sums, loss and Adam are float32. The peers train in float32, as they do unless told
otherwise. There RecBole is met twice more: in its own mixed precision (`enable_amp`), and with both
in float32. RecBole 1.2 needs numpy 1, so that it runs in `.venv-recbole`, which `make bench-train`
makes; without `--recbole` its part is left out.

FLOPs of an interaction are those of the plain form, so a form that needs fewer has the larger share
of the matrix product rate (of the precision told, measured by the same process).

The default encoder does more for an interaction: it reads the history before it and ranks the
target against 1,024 items. Its FLOPs are counted as they happen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import neumf_peers as peers
import numpy as np

if TYPE_CHECKING:
    import torch

    from pwrank.ranker.history import Histories

TEXT_DIM = 384
READERS, READ_ITEMS = 400, 10_000
"""Users and items of the log that the encoder reads."""
NEUMF_FLOPS = 2 * 3 * 2 * (128 * 128 + 128 * 64 + 64 * 32 + 32 + 64)
"""Of an interaction and its negative: two pairs, forth and twice back."""


def some_log(interactions: int) -> Histories:
    """Users of like length; items by a power law."""
    from pwrank.ranker.history import Histories

    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(0, READERS, interactions))
    offsets = np.searchsorted(user, np.arange(READERS + 1)).astype(np.int64)
    since = np.arange(interactions) - offsets[user]
    return Histories(
        offsets=offsets,
        item=(READ_ITEMS * rng.random(interactions) ** 3).astype(np.int64),
        timestamp=(1_700_000_000 + user * 10 + since * 86_400).astype(np.int64),
        event=np.zeros(interactions, np.int16),
        rating=np.full(interactions, np.nan, np.float32),
        weight=np.ones(interactions, np.float32),
    )


def encoder_epoch(log: Histories) -> Any:
    """A function that trains one epoch of the default encoder."""
    import torch

    from pwrank.config import TrainConfig
    from pwrank.ranker.catalogue import plain_catalogue
    from pwrank.ranker.cooccurrence_choice import USUAL
    from pwrank.ranker.encoder_training import train_epoch
    from pwrank.ranker.fitting import build_ranker, prepare_encoder_task
    from pwrank.ranker.held_out_training import Evidence
    from pwrank.ranker.moving_average import MovingAverage
    from pwrank.ranker.optimising import make_optimizer
    from pwrank.ranker.popularity import item_activity

    rng = np.random.default_rng(1)
    text = rng.standard_normal((READ_ITEMS, TEXT_DIM)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1)[:, None]
    catalogue = plain_catalogue(np.arange(READ_ITEMS), text)
    config = TrainConfig(ease_items=500, prior_steps=2)
    evidence = Evidence(log, catalogue, item_activity(log, READ_ITEMS), repeats=False)
    torch.manual_seed(0)
    ranker = build_ranker(log, catalogue, config, 0)
    task = prepare_encoder_task(ranker, log, evidence, config, USUAL)
    optimizer = make_optimizer(ranker, config)
    average = MovingAverage(ranker, config.averaging)
    return lambda: train_epoch(ranker, task, optimizer, average, np.random.default_rng(2))


def encoder_cost(interactions: int, repeats: int, ceiling: float) -> dict[str, float]:
    """What an epoch of the default encoder takes."""
    from ceiling import seconds
    from torch.utils.flop_counter import FlopCounterMode

    epoch = encoder_epoch(some_log(interactions))
    with FlopCounterMode(display=False) as counter:
        epoch()
    flops = counter.get_total_flops() / interactions
    spent = statistics.median(seconds(epoch)[0] for _ in range(repeats)) / interactions
    return {
        "interactions_per_s": 1 / spent,
        "flops_per_interaction": flops,
        "share_of_product_rate": flops / spent / ceiling,
    }


def contests(options: argparse.Namespace, rates: dict[str, float]) -> Iterator[dict[str, Any]]:
    """pwrank's NeuMF against each peer in turn. rates: of matrix products, by precision."""
    import torch
    from ceiling import contest, seconds

    from pwrank.evaluation.neumf_training import dtype_of_products

    known = peers.generated_pairs(options.users, options.items, options.interactions)
    usual, size = name_of(dtype_of_products()), known.nnz
    own = {name: peers.own_epoch(known, getattr(torch, name)) for name in {usual, "float32"}}
    with contextlib.ExitStack() as opened:
        pairings: list[tuple[str, str, str, Callable[[], tuple[float, float]], int]] = []
        if options.recbole:
            recbole = {
                name: opened.enter_context(peers.RecBole(options.recbole, known, name)).epoch
                for name in own
            }
            precisions = dict.fromkeys([(usual, "float32"), (usual, usual), ("float32", "float32")])
            pairings = [(own, "RecBole", its, recbole[its], size) for own, its in precisions]
        plain, article = peers.plain_epoch(known), peers.article_rows(known)
        pairings += [
            (usual, "plain vectorised torch", "float32", lambda: seconds(plain), size),
            (
                usual,
                "the article's own loop",
                "float32",
                lambda: seconds(article),
                peers.ROWS_OF_THE_ARTICLE,
            ),
        ]
        for precision, name, its_precision, peer, rows in pairings:
            told = contest(
                lambda epoch=own[precision]: seconds(epoch),
                peer,
                units=(size, rows),
                repeats=options.repeats,
            )
            yield {
                "pwrank_precision": precision,
                "peer": name,
                "peer_precision": its_precision,
                "pwrank_interactions_per_s": 1 / told.own,
                "peer_interactions_per_s": 1 / told.peer,
                "ratio": told.ratio,
                "ratio_processor": told.ratio_processor,
                "share_of_product_rate": NEUMF_FLOPS / told.own / rates[precision],
            }


def name_of(dtype: torch.dtype) -> str:
    """bfloat16 or float32."""
    return str(dtype).removeprefix("torch.")


def main() -> None:
    """Run and print."""
    from flows.environment import prepare_environment

    prepare_environment()
    import torch
    from ceiling import product_rate

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--interactions", type=int, default=200_000, help="that NeuMF learns from")
    parser.add_argument("--read", type=int, default=20_000, help="that the encoder learns from")
    parser.add_argument("--recbole", type=Path, help="a Python that has RecBole; none: left out")
    options = parser.parse_args()
    out = sys.stderr if options.json else sys.stdout
    rates = {name_of(dtype): product_rate(dtype) for dtype in (torch.float32, torch.bfloat16)}
    result: dict[str, Any] = {"product_flops_per_s": rates, "neumf_flops": NEUMF_FLOPS}
    result["neumf"] = []
    for figures in contests(options, rates):
        result["neumf"].append(figures)
        print(line(figures), file=out)
    result["encoder"] = cost = encoder_cost(options.read, options.repeats, rates["float32"])
    print(
        f"train: default encoder {cost['interactions_per_s']:,.0f} interactions/s of "
        f"{cost['flops_per_interaction'] / 1e6:.1f} MFLOP "
        f"({cost['share_of_product_rate']:.0%} of the product rate)",
        file=out,
    )
    if options.json:
        json.dump(result, sys.stdout, indent=1)


def line(figures: dict[str, Any]) -> str:
    """One comparison for people."""
    return (
        f"train: NeuMF, pwrank in {figures['pwrank_precision']} "
        f"{figures['pwrank_interactions_per_s']:,.0f} interactions/s "
        f"({figures['share_of_product_rate']:.0%} of its product rate), "
        f"{figures['peer']} in {figures['peer_precision']} "
        f"{figures['peer_interactions_per_s']:,.0f}: {figures['ratio']:.2f} times "
        f"({figures['ratio_processor']:.2f} in processor time)"
    )


if __name__ == "__main__":
    main()
