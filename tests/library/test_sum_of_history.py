"""What stands beside attention in the history encoder: the plain sum of a history's items."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from pwrank.config import TrainConfig
from pwrank.ranker.batching import pad_rows
from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.cooccurrence import CooccurrenceShape
from pwrank.ranker.encoder_training import next_item_loss, train_epoch
from pwrank.ranker.fitting import build_ranker, prepare_encoder_task
from pwrank.ranker.held_out_training import Evidence
from pwrank.ranker.history import Histories, group_by_user
from pwrank.ranker.moving_average import MovingAverage
from pwrank.ranker.optimising import make_optimizer
from pwrank.ranker.popularity import item_activity

GROUPS, EACH, USERS, TAKEN = 40, 20, 1_200, 24


def catalogue_of(items: int) -> Catalogue:
    """Items that neither text nor category tells anything of."""
    return Catalogue(
        item_ids=np.arange(items),
        text=np.zeros((items, 8), np.float32),
        category_offsets=np.zeros(items + 1, np.int64),
        category_labels=np.zeros(0, np.int64),
        category_names=(),
        available=np.ones(items, np.bool_),
    )


def groups_of_items() -> Histories:
    """Each user takes of two groups of items, in an order that says nothing."""
    rng = np.random.default_rng(0)
    groups = np.argsort(rng.random((USERS, GROUPS)), axis=1)[:, :2]
    items = (groups[:, :, None] * EACH + np.arange(EACH)).reshape(USERS, -1)
    items = rng.permuted(items, axis=1)[:, :TAKEN]
    user, time = np.repeat(np.arange(USERS), TAKEN), np.tile(np.arange(TAKEN), USERS) + 1
    return group_by_user(user, items.ravel(), time, num_users=USERS)


def test_groups_are_learned_where_order_says_nothing() -> None:
    """By attention alone one pass changed nothing: 6.69, the loss of popularity."""
    log, catalogue, config = groups_of_items(), catalogue_of(GROUPS * EACH), TrainConfig()
    start, past = TAKEN - 1, log.before(TAKEN - 1)
    evidence = Evidence(log, catalogue, item_activity(log, catalogue.num_items))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ranker = build_ranker(past, catalogue, config, 0)
        shape = CooccurrenceShape(ridge=300.0, text=0.0, keep=100)
        task = prepare_encoder_task(ranker, past, evidence, config, shape)
        average = MovingAverage(ranker, config.averaging)
        train_epoch(ranker, task, make_optimizer(ranker, config), average, np.random.default_rng(0))
    later = replace(task, log=log)
    loss = next_item_loss(ranker, later, start=start, most_users=500, rng=np.random.default_rng(1))
    assert loss < math.log(catalogue.num_items) - 0.5


def test_a_history_that_is_cut_or_padded_says_the_same() -> None:
    """A state knows what came before it, whatever follows or fills the batch."""
    log = groups_of_items()
    ranker = build_ranker(log, catalogue_of(GROUPS * EACH), TrainConfig(), 0).eval()
    vectors = torch.randn(GROUPS * EACH, TrainConfig().dim, generator=torch.Generator())
    starts = log.offsets[:3]

    def states(ends: np.ndarray, width: int) -> torch.Tensor:
        batch, _ = pad_rows(log, starts, ends, ranker.scale, events=1, width=width)
        with torch.no_grad():
            return ranker.history_encoder(batch, vectors[batch.item])

    whole, part = states(starts + 9, 9), states(starts + 4, 12)
    torch.testing.assert_close(part[:, :5], whole[:, :5])
    assert not torch.allclose(whole[:, 5], whole[:, 9])
