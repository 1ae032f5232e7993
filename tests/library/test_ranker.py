"""The model's promises: any history, any catalogue, finite scores, batches that do not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pwrank.config import TrainConfig
from pwrank.errors import LakeError
from pwrank.ranker.fitting import fit_ranker
from pwrank.ranker.fusions import FUSIONS
from pwrank.ranker.model import ItemTable, Ranker, UserTable
from pwrank.ranker.popularity import item_activity
from pwrank.ranker.weights import FACTS_FILE, NETWORK, WEIGHTS_FILE, load_ranker, save_ranker
from tests.library.worlds import DAY, two_tastes

HISTORIES, CATALOGUE = two_tastes()
POPULARITY = item_activity(HISTORIES, CATALOGUE.num_items).features(60 * DAY)
CONFIG = TrainConfig(
    dim=16,
    layers=1,
    epochs=2,
    negatives=8,
    snapshots=4,
    candidates=20,
    ease_items=40,
    pair_epochs=2,
)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return fit_ranker(HISTORIES, CATALOGUE, cut=60 * DAY, config=CONFIG, seed=0)[0]


@pytest.fixture(scope="module")
def items(ranker: Ranker) -> ItemTable:
    return ranker.item_table(CATALOGUE, POPULARITY)


@pytest.fixture(scope="module")
def users(ranker: Ranker, items: ItemTable) -> UserTable:
    return ranker.user_table(HISTORIES, items)


def candidates_for(users: int) -> torch.Tensor:
    return torch.arange(20).repeat(users, 1)


def test_scores_are_finite_for_every_user_also_without_history(
    ranker: Ranker, items: ItemTable, users: UserTable
) -> None:
    scores = ranker.score(users, items, candidates_for(81))
    for value in vars(scores).values():
        assert value.shape == (81, 20)
        assert torch.isfinite(value).all()
    assert ((scores.probability >= 0) & (scores.probability <= 1)).all()


def test_a_score_does_not_depend_on_its_batch(
    ranker: Ranker, items: ItemTable, users: UserTable
) -> None:
    together = ranker.score(users, items, candidates_for(81)).logit[5]
    lone = ranker.user_table(HISTORIES.select(np.array([5])), items)
    alone = ranker.score(lone, items, candidates_for(1)).logit[0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_retrieval_vectors_are_an_inner_product_space(
    ranker: Ranker, items: ItemTable, users: UserTable
) -> None:
    assert users.retrieval.shape[1] == items.retrieval.shape[1]
    again = ranker.at_another_time(items, POPULARITY)
    assert torch.equal(again.retrieval, items.retrieval)
    later = ranker.at_another_time(items, POPULARITY + 1)
    afresh = ranker.item_table(CATALOGUE, POPULARITY + 1)
    assert torch.equal(later.retrieval, afresh.retrieval)
    assert torch.equal(later.popularity, afresh.popularity)
    assert not torch.equal(later.retrieval, items.retrieval)


def test_items_never_seen_in_training_get_vectors_from_text(ranker: Ranker) -> None:
    ids = np.array([f"new{n}" for n in range(CATALOGUE.num_items)], dtype=object)
    table = ranker.item_table(replace(CATALOGUE, item_ids=ids), POPULARITY)
    assert torch.isfinite(table.retrieval).all()
    assert table.retrieval.std(dim=0).max() > 0


def test_a_reordered_catalogue_keeps_every_score(ranker: Ranker, items: ItemTable) -> None:
    order = np.arange(CATALOGUE.num_items)[::-1].copy()
    place = np.argsort(order)
    catalogue = replace(
        CATALOGUE,
        item_ids=CATALOGUE.item_ids[order],
        text=CATALOGUE.text[order],
        category_labels=CATALOGUE.category_labels[order],
    )
    histories = replace(HISTORIES, item=place[HISTORIES.item])
    table = ranker.item_table(catalogue, POPULARITY[order])
    moved = torch.from_numpy(place)[candidates_for(81)]
    scores = ranker.score(ranker.user_table(histories, table), table, moved).logit
    before = ranker.score(ranker.user_table(HISTORIES, items), items, candidates_for(81)).logit
    assert torch.allclose(scores, before, atol=1e-4)


def test_reasons_are_history_items_or_nothing(
    ranker: Ranker, items: ItemTable, users: UserTable
) -> None:
    reasons = ranker.reasons(users, items, candidates_for(81), most=3)
    assert reasons.shape == (81, 20, 3)
    own = set(HISTORIES.item[HISTORIES.offsets[3] : HISTORIES.offsets[4]].tolist())
    assert set(reasons[3].flatten().tolist()) <= own
    assert (reasons[80] == -1).all()


def test_unknown_items_in_a_history_are_passed_over(ranker: Ranker, items: ItemTable) -> None:
    unknown = replace(HISTORIES, item=np.where(HISTORIES.item == 3, -1, HISTORIES.item))
    assert torch.isfinite(ranker.user_table(unknown, items).retrieval).all()


def test_saving_and_loading_changes_no_score(
    ranker: Ranker, items: ItemTable, users: UserTable, tmp_path: Path
) -> None:
    save_ranker(ranker, tmp_path)
    loaded = load_ranker(tmp_path)
    table = loaded.item_table(CATALOGUE, POPULARITY)
    scores = loaded.score(loaded.user_table(HISTORIES, table), table, candidates_for(81))
    assert torch.equal(scores.logit, ranker.score(users, items, candidates_for(81)).logit)


@pytest.mark.parametrize("start", ["cooccurrence/weight", "model/", None])
def test_a_model_in_the_form_of_another_version_is_told_as_such(
    ranker: Ranker, tmp_path: Path, start: str | None
) -> None:
    save_ranker(ranker, tmp_path)
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    if start is None:
        tensors["model/new"] = torch.ones(1)
    else:
        del tensors[next(name for name in tensors if name.startswith(start))]
    save_file(tensors, tmp_path / WEIGHTS_FILE)
    with pytest.raises(LakeError, match="another version of pwrank wrote this model; run its date"):
        load_ranker(tmp_path)


def test_weights_that_another_network_learned_are_told_as_such(
    ranker: Ranker, tmp_path: Path
) -> None:
    """They have the same names and shapes, and would score something else."""
    save_ranker(ranker, tmp_path)
    facts = json.loads((tmp_path / FACTS_FILE).read_text(encoding="utf-8"))
    for other in ({**facts, "network": NETWORK - 1}, {"shape": facts["shape"]}):
        (tmp_path / FACTS_FILE).write_text(json.dumps(other), encoding="utf-8")
        with pytest.raises(LakeError, match="another version of pwrank wrote this model"):
            load_ranker(tmp_path)


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_trains_and_only_concat_linear_is_impersonal(name: str) -> None:
    fusion = FUSIONS[name](8)
    users, items = torch.randn(4, 8), torch.randn(1, 6, 8).expand(4, -1, -1)
    logits = fusion(users, items, torch.randn(4, 5, 8), torch.ones(4, 5, dtype=torch.bool))
    logits.sum().backward()
    assert logits.shape == (4, 6)
    differences = (logits - logits[:, :1]).detach()
    same_order_for_all = torch.allclose(differences, differences[:1].expand_as(logits), atol=1e-5)
    assert same_order_for_all == (name == "concat_linear")
