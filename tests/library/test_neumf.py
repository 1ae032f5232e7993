"""NeuMF on the board: trained by hand-written gradients, scored like its plain form."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse
from torch.nn import functional

from pwrank.evaluation import neumf, neumf_kernels, neumf_training
from pwrank.evaluation.known_log import KnownLog, SplitRule
from pwrank.evaluation.neumf import batches, epochs_affordable, fit_neumf
from pwrank.evaluation.neumf_network import Network, new_network, views
from pwrank.evaluation.neumf_training import Trainer
from pwrank.evaluation.tuning import tune_baselines
from pwrank.lists.workers import beside_each_other

END = date(2024, 3, 1)
USERS, ITEMS = 40, 60


def lively_network(seed=0):
    """Embeddings large enough that every part of the score matters."""
    network = new_network(USERS, ITEMS, torch.Generator().manual_seed(seed))
    network.users.mul_(50)
    network.items.mul_(50)
    return network


def some_pairs(count, seed=0):
    """Neither all users nor all items are among them."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS - 9, count), rng.integers(0, ITEMS - 9, count)
    return user, item, rng.integers(0, 2, count).astype(np.float32)


def plain_gradients(network, user, item, label):
    """Loss and its gradients by users, items and layers, as torch derives them from the score."""
    tables = [table.clone().requires_grad_() for table in (network.users, network.items)]
    flat = network.flat.clone().requires_grad_()
    scores = Network(*tables, flat).scores(torch.from_numpy(user), torch.from_numpy(item))
    loss = functional.binary_cross_entropy_with_logits(scores, torch.from_numpy(label))
    return loss.item(), torch.autograd.grad(loss, [*tables, flat])


TASTE = 30


def taste_log(users=60, length=6):
    """Two tastes of TASTE items; a user has some of one."""
    midnight = datetime(END.year, END.month, END.day, tzinfo=UTC)
    rows = [
        (
            f"u{user:02d}",
            f"{'ab'[user % 2]}{(7 * user + 11 * step) % TASTE:02d}",
            midnight - timedelta(30 - step),
        )
        for user in range(users)
        for step in range(length)
    ]
    schema = {"user_id": pl.String, "item_id": pl.String, "occurred_at": pl.Datetime("us", "UTC")}
    frame = pl.DataFrame(rows, schema, orient="row")
    items = [f"{taste}{number:02d}" for taste in "ab" for number in range(TASTE)]
    return KnownLog(frame, pl.Series("item_id", items), END, exclude_seen=True)


def share_of_own_taste(lists):
    found = lists.rank(pl.Series([f"u{user:02d}" for user in range(20)]), k=3)
    own = pl.when(pl.col("user_id").str.slice(1).cast(pl.Int64) % 2 == 0)
    return found.select(
        own.then(pl.lit("a")).otherwise(pl.lit("b")) == found["item_id"].str.head(1)
    )[:, 0].mean()


def gradients_of_a_step(network, batch, dtype):
    """Loss and gradients by users, items and layers; Adam's means begin at zero and tell them."""
    trainer = Trainer(network, pairs=3000, dtype=dtype)
    with beside_each_other(1) as run:
        loss = trainer.step(*batch, run)
    adams = (trainer.users.adam, trainer.items.adam, trainer.adam)
    found = [torch.from_numpy(adam.mean) / (1 - neumf_training.DECAY[0]) for adam in adams]
    return loss, found


@pytest.mark.parametrize("pairs", [50, 2500])
def test_the_gradients_by_hand_are_those_of_the_plain_form(pairs):
    network, batch = lively_network(), some_pairs(pairs)
    wanted, gradients = plain_gradients(network, *batch)
    loss, found = gradients_of_a_step(network, batch, torch.float32)
    assert loss == pytest.approx(wanted, rel=1e-5)
    for mine, gradient in zip(found, gradients, strict=True):
        scale = gradient.abs().max()
        assert torch.allclose(mine / scale, gradient / scale, atol=2e-5)


def test_nothing_of_a_larger_step_is_left_in_the_next():
    network = lively_network()
    trainer = Trainer(network, pairs=2500, dtype=torch.float32)
    with beside_each_other(1) as run:
        trainer.step(*some_pairs(2500), run)
        before = trainer.adam.mean.copy()
        user, item, label = some_pairs(70, 1)
        batch = user % 5, item % 7, label
        _, gradients = plain_gradients(network, *batch)
        trainer.step(*batch, run)
    keep = neumf_training.DECAY[0]
    found = torch.from_numpy(trainer.adam.mean - keep * before) / (1 - keep)
    assert (found - gradients[2]).norm() < 1e-5 * gradients[2].norm()


@pytest.mark.parametrize("pairs", [50, 2500])
def test_the_gradients_in_bfloat16_are_those_of_float32_up_to_its_rounding(pairs):
    batch = some_pairs(pairs)
    wanted, gradients = gradients_of_a_step(lively_network(), batch, torch.float32)
    loss, found = gradients_of_a_step(lively_network(), batch, torch.bfloat16)
    assert loss != wanted
    assert loss == pytest.approx(wanted, rel=2e-3)
    for mine, gradient in zip(found, gradients, strict=True):
        touched, other = (by.ne(0).view(len(by), -1).any(1) for by in (mine, gradient))
        assert torch.equal(touched, other) or mine.ndim == 1
        assert (mine - gradient).norm() < 0.02 * gradient.norm()


def test_small_moves_add_up_in_bfloat16_too():
    """A weight of 1 does not change by 0.001 in bfloat16, so it has to be kept in float32."""
    network = lively_network()
    network.flat.fill_(1.0)
    trainer = Trainer(network, pairs=50, dtype=torch.bfloat16)
    with beside_each_other(1) as run:
        trainer.step(*some_pairs(50), run)
    weights = views(network.flat)["weight3"]
    assert ((weights - 1).abs() > 0).all()
    assert ((weights - 1).abs() < 2 * neumf_training.LEARNING_RATE).all()


def test_rows_and_layers_are_moved_as_torch_moves_them():
    """Where every gradient is well above Adam's 1e-8; below, a rounding decides."""
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.standard_normal((9, 5)).astype(np.float32))
    theirs = torch.nn.Parameter(values.clone())
    optimizer = torch.optim.SparseAdam([theirs], lr=neumf_training.LEARNING_RATE)
    own = neumf_training.Adam(values.numpy())
    for step, rows in enumerate(([1, 4], [4, 8], [1, 4]), start=1):
        slope = torch.from_numpy(rng.standard_normal((2, 5)).astype(np.float32))
        parts = (part.numpy().copy() for part in slope.split([3, 2], dim=1))
        own.move_rows(np.array(rows), *parts, step)
        theirs.grad = torch.sparse_coo_tensor([rows], slope, (9, 5), check_invariants=True)
        optimizer.step()
    assert torch.allclose(values, theirs.detach(), atol=1e-6)


def test_places_tell_the_pairs_of_each_row():
    ids = np.random.default_rng(3).integers(0, 20, 50)
    slots, distinct, places = (
        np.full(20, -1, np.int32),
        np.empty(20, np.int64),
        np.empty(50, np.int32),
    )
    ends, pairs = np.empty(21, np.int32), np.empty(50, np.int32)
    count = neumf_kernels.number_distinct(ids, slots, distinct, places, ends, pairs)
    assert list(distinct[:count]) == list(dict.fromkeys(ids))
    assert np.array_equal(distinct[places], ids)
    for place in range(count):
        mine = pairs[ends[place] : ends[place + 1]]
        assert np.array_equal(mine, np.flatnonzero(ids == distinct[place]))
    assert (slots == -1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_of_cores_does_not_change_the_network(dtype):
    found = []
    for workers in (1, 3):
        network = lively_network()
        trainer = Trainer(network, pairs=2500, dtype=dtype)
        with beside_each_other(workers) as run:
            for step, pairs in enumerate((2500, 700)):
                trainer.step(*some_pairs(pairs, step), run)
        found.append(network)
    for name in ("users", "items", "flat"):
        assert torch.equal(getattr(found[0], name), getattr(found[1], name))


def test_lists_are_in_the_order_of_the_plain_scores():
    log = taste_log()
    lists, _ = fit_neumf(log, epochs=1)
    lists.network.users.mul_(50)
    views(lists.network.flat)["bias1"].fill_(0.3)
    user = log.matrix.users[4]
    ranked = lists.rank(pl.Series([user]), k=len(log.items))["item_id"].to_list()
    items = torch.arange(len(log.items))
    scores = lists.network.scores(torch.full_like(items, 4), items)
    seen = log.matrix.rows(pl.Series([user])).indices
    order = [int(i) for i in scores.argsort(descending=True) if i not in seen]
    assert ranked == log.matrix.items.gather(order).to_list()


def test_it_learns_tastes_and_the_same_again(monkeypatch):
    monkeypatch.setattr(neumf, "BATCH", 64)
    log = taste_log()
    lists, epochs = fit_neumf(log, epochs=60)
    assert epochs == 60
    assert share_of_own_taste(lists) > 0.9
    assert torch.equal(lists.network.users, fit_neumf(log, epochs=60)[0].network.users)


def test_it_stops_where_validation_is_best_and_keeps_that_network(monkeypatch):
    monkeypatch.setattr(neumf, "PATIENCE", 3)
    told = iter([0.1, 0.3, 0.2, 0.1, 0.1, 0.9])
    log = taste_log()
    lists, epochs = fit_neumf(log, epochs=9, judge=lambda _lists: next(told))
    assert epochs == 2
    assert next(told) == 0.9
    assert torch.equal(lists.network.flat, fit_neumf(log, epochs=2)[0].network.flat)


def test_negatives_are_what_the_user_does_not_have(monkeypatch):
    monkeypatch.setattr(neumf, "BATCH", 16)
    known = sparse.csr_matrix(np.random.default_rng(0).random((20, 8)) < 0.5, dtype=np.float32)
    positives = []
    for user, item, label in batches(known, np.random.default_rng(1), 2):
        have = np.asarray(known[user, item]).ravel() > 0
        assert np.array_equal(have, label == 1)
        positives += list(zip(user[have].tolist(), item[have].tolist(), strict=True))
    assert sorted(positives) == list(zip(*map(np.ndarray.tolist, known.nonzero()), strict=True))


def test_a_user_who_has_everything_ends_the_drawing():
    known = sparse.csr_matrix(np.ones((3, 4), np.float32))
    assert [len(label) for _, _, label in batches(known, np.random.default_rng(0), 3)] == [12 * 4]


def test_its_work_is_bounded(monkeypatch):
    log = taste_log()
    assert epochs_affordable(log) == neumf.EPOCHS[1]
    monkeypatch.setattr(neumf, "USUAL_WORK", 1.0)
    assert epochs_affordable(log) == neumf.EPOCHS[0]
    monkeypatch.setattr(neumf, "MOST_WORK", 1.0)
    assert epochs_affordable(log) == 0
    _, skipped = tune_baselines(log, SplitRule(None), ["neumf"])
    assert skipped["neumf"].startswith("360 interactions, and 120 users and items to judge it by")
