"""NeuMF on the board: trained by hand-written gradients, scored like its plain form."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse
from torch.nn import functional

from pwrank.evaluation import neumf, neumf_training
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


@pytest.mark.parametrize("pairs", [50, 2500])
def test_the_gradients_by_hand_are_those_of_the_plain_form(pairs, monkeypatch):
    moved = []
    monkeypatch.setattr(
        neumf_training.Adam, "move", lambda _, rows, by, step: moved.append((rows, by.clone()))
    )
    network, batch = lively_network(), some_pairs(pairs)
    wanted, gradients = plain_gradients(network, *batch)
    with beside_each_other(1) as run:
        loss = Trainer(network, pairs=3000).step(*batch, run)
    assert loss == pytest.approx(wanted, rel=1e-5)
    for (rows, found), gradient, ids in zip(
        moved,
        (gradients[1], gradients[0], gradients[2][None]),
        (batch[1], batch[0], [0]),
        strict=True,
    ):
        assert sorted(rows) == sorted(set(ids))
        scale = gradient.abs().max()
        assert torch.allclose(found / scale, gradient[rows] / scale, atol=2e-5)


def test_rows_and_layers_are_moved_as_torch_moves_them(monkeypatch):
    """Where every gradient is well above Adam's 1e-8; below, a rounding decides."""
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.standard_normal((9, 5)).astype(np.float32))
    theirs = torch.nn.Parameter(values.clone())
    optimizer = torch.optim.SparseAdam([theirs], lr=neumf_training.LEARNING_RATE)
    own = neumf_training.Adam(values)
    for step, rows in enumerate(([1, 4], [4, 8], [1, 4]), start=1):
        slope = torch.from_numpy(rng.standard_normal((2, 5)).astype(np.float32))
        own.move(np.array(rows), slope, step)
        theirs.grad = torch.sparse_coo_tensor([rows], slope, (9, 5), check_invariants=True)
        optimizer.step()
    assert torch.allclose(values, theirs.detach(), atol=1e-6)


def test_the_number_of_cores_does_not_change_the_network():
    found = []
    for workers in (1, 3):
        network = lively_network()
        trainer = Trainer(network, pairs=2500)
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
