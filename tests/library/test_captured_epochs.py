"""Training on a card: the same steps as on a processor, captured once and asked for by number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pwrank.config import TrainConfig
from pwrank.ranker.batching import pad_rows, training_chunks
from pwrank.ranker.captured_epochs import most_rows, padded_width, plan_epoch
from pwrank.ranker.card_log import card_log
from pwrank.ranker.cooccurrence import CooccurrenceShape
from pwrank.ranker.encoder_losses import (
    distinct,
    every_occurrence,
    sampled_losses,
    weighted_mean,
)
from pwrank.ranker.encoder_task import draw_negatives
from pwrank.ranker.encoder_training import _read_chunk, train_epoch
from pwrank.ranker.fitting import build_ranker, fit_ranker, prepare_encoder_task
from pwrank.ranker.held_out_training import Evidence
from pwrank.ranker.item_encoder import with_label_table
from pwrank.ranker.moving_average import MovingAverage
from pwrank.ranker.optimising import epoch_of, make_optimizer
from pwrank.ranker.popularity import item_activity
from tests.library.worlds import two_tastes

CONFIG = TrainConfig(
    dim=16, history_length=5, batch_tokens=64, negatives=20, prior_steps=2, snapshots=4
)
needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")


def prepared(device: str = "cpu", config: TrainConfig = CONFIG):
    log, catalogue = two_tastes()
    evidence = Evidence(log, catalogue, item_activity(log, catalogue.num_items))
    ranker = build_ranker(log, catalogue, config, 0).to(torch.device(device))
    shape = CooccurrenceShape(ridge=10.0, text=0.0, keep=100)
    return ranker, prepare_encoder_task(ranker, log, evidence, config, shape)


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def planned(task, seed: int = 3):
    return plan_epoch(task, CONFIG.history_length, np.random.default_rng(seed))


def chunks_of(task, seed: int = 3):
    return list(
        training_chunks(
            task.log,
            length=CONFIG.history_length,
            tokens=task.batch_tokens,
            most=task.epoch_rows,
            rng=np.random.default_rng(seed),
        )
    )


def test_every_width_has_a_graph_that_holds_it_and_few_do():
    for tokens in (64, 1000):
        for width in range(1, 101):
            padded = padded_width(width)
            assert width <= padded < width + 4
            assert most_rows(padded, tokens) >= max(tokens // width, 1)
    assert len({padded_width(width) for width in range(1, 101)}) == 31


def test_a_plan_holds_the_histories_and_negatives_of_the_plain_epoch():
    _, task = prepared()
    rng = np.random.default_rng(3)
    chunks = training_chunks(task.log, length=5, tokens=64, most=task.epoch_rows, rng=rng)
    steps = 0
    for chunk, step in zip(chunks, planned(task), strict=True):
        np.testing.assert_array_equal(step.drawn, draw_negatives(task, rng))
        count, rows = len(chunk.starts), step.rows.numpy()
        np.testing.assert_array_equal(rows[0, :count], chunk.starts)
        np.testing.assert_array_equal(rows[1, :count], chunk.ends)
        assert not rows[:, count:].any()
        assert count <= most_rows(step.width, task.batch_tokens)
        steps += 1
    assert steps > 5


def test_the_log_on_a_card_reads_as_padded_rows_do():
    ranker, task = prepared()
    log = card_log(ranker, task)
    for chunk, step in zip(chunks_of(task), planned(task), strict=True):
        size, width = len(chunk.starts), step.width
        found = log.read(*step.rows[:, :size], width)
        expected, places = pad_rows(
            task.log,
            chunk.starts,
            chunk.ends,
            ranker.scale,
            events=ranker.shape.events,
            width=width,
        )
        for name, value in vars(expected).items():
            assert torch.equal(
                torch.nan_to_num(getattr(found.batch, name), nan=-9.0),
                torch.nan_to_num(value, nan=-9.0),
            ), name
        inside = torch.from_numpy(places >= 0).flatten()
        assert not found.weight[~inside].any()
        plain = _read_chunk(ranker, task, chunk)
        for name in ("item", "snapshot", "weight"):
            assert torch.equal(getattr(found, name)[inside], getattr(plain, name))


def test_a_step_of_fixed_shape_has_the_loss_and_the_gradients_of_the_plain_one():
    ranker, task = prepared()
    ranker.eval()  # no dropout
    fixed, log = replace(task, inputs=with_label_table(task.inputs)), card_log(ranker, task)
    for chunk, step in list(zip(chunks_of(task), planned(task), strict=True))[:4]:
        drawn = step.drawn
        frequency = torch.from_numpy(task.sampling[drawn] * task.negatives).log().float()
        told = []
        for inputs, target, items in (
            (task, plain := _read_chunk(ranker, task, chunk), distinct(plain, drawn)),
            (fixed, wide := log.read(*step.rows[:, :40], 8), every_occurrence(wide, drawn)),
        ):
            ranker.zero_grad()
            losses = sampled_losses(ranker, inputs, target, items, frequency)
            loss = weighted_mean(losses, target.weight)
            loss.backward()
            told.append((loss, [p.grad.clone() for p in ranker.parameters() if p.grad is not None]))
        (expected, gradients), (found, others) = told
        assert torch.isclose(found, expected, atol=1e-6)
        assert len(gradients) == len(others) > 20
        for one, other in zip(gradients, others, strict=True):
            assert torch.allclose(one, other, atol=1e-6)


def test_a_step_in_which_nothing_counts_has_no_loss():
    assert weighted_mean(torch.ones(3), torch.zeros(3)) == 0.0


def test_the_average_begins_at_the_first_step_and_follows_slowly():
    model = torch.nn.Linear(2, 1)
    average = MovingAverage(model, 0.99)
    told = []
    for step in range(4):
        with torch.no_grad():
            model.weight.fill_(float(step + 1))
        weight = torch.tensor([average.next_weight()])
        other = MovingAverage(model, 0.99)
        other.load_state_dict(average.state_dict())
        other.follow_on_card(model, weight)
        average.follow(model)
        assert torch.allclose(other.module.weight, average.module.weight)
        told.append(average.module.weight[0, 0].item())
    assert told == pytest.approx([1.0, 1.8182, 2.7045, 3.6014], abs=1e-4)


def test_on_a_processor_an_epoch_is_the_plain_one():
    results = []
    for trained in (epoch_of, lambda *given: lambda *told: train_epoch(*given, *told)):
        ranker, task = prepared()
        optimizer, average = make_optimizer(ranker, CONFIG), MovingAverage(ranker, 0.9)
        torch.manual_seed(0)
        results.append(trained(ranker, task, optimizer)(average, np.random.default_rng(0)))
    assert results[0] == results[1]


@needs_card
@pytest.mark.parametrize("negatives", [20, 0])
def test_on_a_card_an_epoch_learns_as_the_plain_one_does(negatives):
    off = {"dropout": 0.0, "id_dropout": 0.0, "negatives": negatives}
    config = CONFIG.model_copy(update=off)
    results, weights = [], []
    for plain in (False, True):
        ranker, task = prepared("cuda", config)
        optimizer, average = make_optimizer(ranker, config), MovingAverage(ranker, 0.9)
        trained = epoch_of(ranker, task, optimizer)
        if plain:
            trained = lambda *told: train_epoch(ranker, task, optimizer, *told)  # noqa: B023, E731
        results.append([trained(average, np.random.default_rng(epoch)) for epoch in range(5)])
        weights.append(flat(average.module))
    assert results[0] == pytest.approx(results[1], rel=0.01)
    assert results[0][-1] < results[0][0]
    assert torch.cosine_similarity(*weights, dim=0) > 0.999


@needs_card
def test_on_a_card_a_killed_training_goes_on_and_ends_the_same(tmp_path):
    log, catalogue = two_tastes()
    config = CONFIG.model_copy(update={"epochs": 4})
    cut = int(log.timestamp.max()) + 1

    class KilledError(Exception):
        pass

    def killed(_phase, done, _planned, _figures):
        if done == 2:
            raise KilledError

    def fit(folder, progress=None):
        return fit_ranker(
            log,
            catalogue,
            cut=cut,
            config=config,
            seed=0,
            checkpoint=folder,
            progress=progress,
            device=torch.device("cuda"),
        )[0]

    whole = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "again", killed)
    again = fit(tmp_path / "again")
    # Sums on a card are in no fixed order, so that two runs differ a little anyway.
    for part in ("item_encoder", "history_encoder"):
        weights = [
            torch.cat([p.flatten() for p in getattr(r, part).parameters()]) for r in (whole, again)
        ]
        assert torch.cosine_similarity(*weights, dim=0) > 0.99, part
