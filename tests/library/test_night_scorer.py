"""The night's scorer: the numbers of the reference, whoever is scored beside whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu

from pwrank.ranker.activations import ACTIVATIONS
from pwrank.ranker.compiled import LINE_BYTES, aligned
from pwrank.ranker.fusions import FUSIONS
from pwrank.ranker.inner_products import TILE_BYTES, add_inner_products
from pwrank.ranker.model_inputs import history_paths, read_histories
from pwrank.ranker.night_scorer import NightScorer
from pwrank.ranker.pair_features import (
    COOCCURRENCES,
    INNER_PRODUCTS,
    OWN,
    PAIRWISE_FEATURES,
    STRONGEST,
    WALK,
)
from pwrank.ranker.pair_kernels import add_logarithms, add_perceptron
from pwrank.ranker.reason_kernels import find_reasons
from pwrank.ranker.user_blocks import BLOCK_USERS, block_table, user_blocks
from pwrank.score import load_scorer, score_users
from tests.benchmarks.generated_night import generate_night

USERS, ITEMS = 200, 300


def small_night(folder, **sections):
    train = {"ease_items": 200, "ease_keep": 20, **sections.pop("train", {})}
    score = {"k": 20, "candidates": 60, "shards": 1, **sections.pop("score", {})}
    return generate_night(folder, users=USERS, items=ITEMS, train=train, score=score, **sections)


def opened(night):
    """The scorer of a generated night, its histories and its configuration."""
    scorer = load_scorer(night.run.store.lake, night.refs)
    paths = history_paths(night.run.store, night.refs.histories)
    users = read_histories(paths, scorer.items.catalogue.item_ids, scorer.reading)
    return scorer, users.histories, night.run.config


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return opened(small_night(tmp_path_factory.mktemp("plain") / "lake"))


def a_block(scorer, histories, number=1):
    """Users, and candidates (b, 50) of whom the last of each are none."""
    blocks = list(user_blocks(histories, np.arange(USERS), scorer.ranker.shape.length))
    table = block_table(scorer.ranker, histories, blocks[number], scorer.items.table)
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(ITEMS)[:50] for _ in range(BLOCK_USERS)])
    return table, rows


def with_other_weights(ranker):
    """Every weight of the pair scorer moved, so that no part of it is silent."""
    with torch.no_grad():
        for values in ranker.pair_scorer.parameters():
            values.add_(torch.randn(values.shape, generator=torch.manual_seed(1)) * 0.1)
        ranker.pair_scorer.center.add_(0.3)
        ranker.pair_scorer.spread.mul_(1.5)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_scores_as_the_reference_does(plain, fusion, activation):
    scorer, histories, _ = plain
    ranker = scorer.ranker
    shape = replace(ranker.shape, fusion=fusion, activation=activation)
    other = type(ranker)(shape, ranker.vocabulary, ranker.categories)
    with_other_weights(other)
    other.eval()
    users, rows = a_block(scorer, histories)
    expected = other.score(users, scorer.items.table, torch.from_numpy(rows))
    night = NightScorer(other, scorer.items.table)
    assert torch.allclose(night.logit(users, rows), expected.logit, rtol=0, atol=1e-5)
    probability = torch.from_numpy(night.probability(users, rows))
    assert torch.allclose(probability, expected.probability, rtol=0, atol=1e-5)


def test_every_pairwise_feature_is_declared_by_its_form():
    products = [name for names in INNER_PRODUCTS.values() for name in names]
    sums = [f"{log}{name}" for name in (*COOCCURRENCES, STRONGEST) for log in ("", "log_")]
    assert sorted(PAIRWISE_FEATURES) == sorted([*products, *sums, WALK, *OWN])


def test_candidates_that_are_none_change_nothing(plain):
    scorer, histories, _ = plain
    users, rows = a_block(scorer, histories)
    night = NightScorer(scorer.ranker, scorer.items.table)
    fewer = np.where(np.arange(50) < 30, rows, -1)
    logit = night.logit(users, fewer)
    assert torch.equal(logit[:, :30], night.logit(users, rows)[:, :30])
    assert torch.isfinite(logit).all()


@pytest.mark.parametrize("most", [0, 1, 3, 10])
def test_it_gives_the_reasons_of_the_reference(plain, most):
    scorer, histories, _ = plain
    users, rows = a_block(scorer, histories)
    expected = scorer.ranker.reasons(users, scorer.items.table, torch.from_numpy(rows), most=most)
    found = NightScorer(scorer.ranker, scorer.items.table).reasons(users, rows, most=most)
    assert (found == expected.numpy()).all()


def test_the_last_state_of_a_history_is_that_of_the_whole_encoder(plain):
    scorer, histories, _ = plain
    ranker, items = scorer.ranker, scorer.items.table
    batch, _ = ranker.read_histories(histories)
    with torch.no_grad():
        states = ranker.history_encoder(batch, items.vectors[batch.item])
        last = ranker.history_encoder.last(batch, items.vectors[batch.item])
    expected = states[torch.arange(len(last)), batch.mask.sum(dim=1)]
    assert torch.allclose(last, expected, atol=1e-5)


def test_blocks_hold_every_user_once_padded_by_their_own_length_only(plain):
    _, histories, _ = plain
    users = np.arange(USERS)[::-1]
    blocks = list(user_blocks(histories, users, 100))
    assert sorted(np.concatenate([block.users for block in blocks])) == list(range(USERS))
    width = {user: block.width for block in blocks for user in block.users}
    lengths = np.minimum(histories.lengths, 100)
    most = np.minimum(np.maximum(lengths + 7, lengths * 3 // 2), 100)
    assert all(lengths[user] <= width[user] <= most[user] for user in users)
    alone = [next(iter(user_blocks(histories, np.array([u]), 100))).width for u in range(USERS)]
    assert alone == [width[user] for user in range(USERS)]


WORLDS = {
    "default": {},
    "repeats": {"score": {"exclude_seen": False}},
    "approximate": {"index": {"kind": "ivf", "target_recall": 0.5}},
    "dials": {"rerank": {"explore": 0.2, "explore_below": 20, "diversity": 0.3, "coverage": 0.5}},
    "attention": {"train": {"fusion": "attention"}},
    "neumf": {"train": {"fusion": "neumf", "activation": "tanh"}},
}


@pytest.mark.parametrize("name", WORLDS)
def test_every_bit_of_a_list_is_the_same_whoever_is_scored_beside(tmp_path, name):
    scorer, histories, config = opened(small_night(tmp_path / "lake", **WORLDS[name]))
    together = score_users(scorer, histories, np.arange(USERS), config)
    rng = np.random.default_rng(3)
    for size in (1, 7, 60, 199):
        some = np.sort(rng.permutation(USERS)[:size])
        apart = score_users(scorer, histories, some, config)
        for field, values in vars(apart).items():
            assert np.array_equal(values, getattr(together, field)[some]), (field, size)


def test_the_compiled_logarithm_and_gelu_are_those_of_torch():
    values = np.concatenate([np.linspace(-3, 3, 501), 10.0 ** np.linspace(-6, 6, 499)])
    features = np.zeros((1, 2, len(values)), np.float32)
    features[0, 0] = values
    add_logarithms(features, np.array([0]), np.array([1]), np.float32(1e-3))
    expected = np.log(np.maximum(features[0, 0].astype(np.float64), 0) + 1e-3)
    assert np.abs(features[0, 1] - expected).max() < 1e-6

    hidden = np.linspace(-12, 12, 1000, dtype=np.float32)
    rows, none = np.zeros((1, 1), np.int64), np.zeros((1, 1, 1), np.float32)
    for value in hidden:
        told = np.full((1, 1), value / 2, np.float32)
        unit = np.full((1, 1), value, np.float32)
        one = np.ones(1, np.float32)
        add_perceptron(none, (np.float32(0),), rows, unit * 0, unit, unit * 0, tuple(one), told)
        assert told[0, 0] == pytest.approx(gelu(torch.tensor(value)).item(), abs=2e-6)


@pytest.mark.parametrize("width", [7, 64, 1024])
@pytest.mark.parametrize("queries", [1, 2, 3])
def test_inner_products_of_rows_in_any_order(width, queries):
    rng = np.random.default_rng(width)
    table = rng.normal(size=(1000, width)).astype(np.float32)
    asked = rng.normal(size=(3, queries, width)).astype(np.float32)
    rows = rng.integers(-1, len(table), (3, 101))
    rows[0].sort()
    rows[1] = rows[1].max()
    columns = np.arange(queries)[::-1] + 1
    out = np.full((3, queries + 1, rows.shape[1]), np.nan, np.float32)
    add_inner_products(asked, table, rows, columns, out)
    expected = np.einsum("bqd,bcd->bqc", asked, table[np.maximum(rows, 0)])
    assert np.allclose(out[:, columns], expected, rtol=0, atol=1e-3)
    assert np.isnan(out[:, 0]).all(), "a column that nobody asked for"

    assert len(table) * 1024 * 4 > 2 * TILE_BYTES, "the widest table has several tiles"
    order = rng.permutation(rows.shape[1])
    turned = np.empty_like(out)
    add_inner_products(asked, table, np.ascontiguousarray(rows[:, order]), columns, turned)
    assert np.array_equal(turned[:, columns], out[:, columns][..., order]), "bits, in any order"


def test_a_copy_for_the_widest_registers_begins_with_a_line_of_the_cache():
    values = np.arange(35, dtype=np.float32).reshape(5, 7)[:, ::-1]
    copies = [aligned(values) for _ in range(5)]
    assert all(copy.ctypes.data % LINE_BYTES == 0 for copy in copies)
    assert all(copy.flags.c_contiguous and (copy == values).all() for copy in copies)


def test_of_equal_reasons_the_first_is_named_first_and_none_where_there_is_no_row():
    unit = np.array([[1, 0], [0, 1], [1, 0], [-1, 0], [0, 0]], np.float32)
    history, offsets = np.array([0, 1, 2, 3, 4]), np.array([0, 5, 5])
    out = np.empty((2, 2, 4), np.int64)
    find_reasons(unit, offsets, history, np.array([[0, -1], [1, 3]]), out)
    assert out[0].tolist() == [[0, 2, 1, 4], [-1] * 4]
    assert (out[1] == -1).all()
