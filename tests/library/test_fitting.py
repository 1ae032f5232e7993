"""Training: it learns, it repeats itself, it survives a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pwrank.config import TrainConfig
from pwrank.errors import InputError
from pwrank.ranker.fitting import fit_ranker
from pwrank.ranker.model import Ranker
from pwrank.ranker.popularity import item_activity
from tests.library.worlds import DAY, two_tastes

SMALL = TrainConfig(
    dim=16,
    layers=1,
    epochs=6,
    batch_tokens=200,
    negatives=0,
    snapshots=8,
    candidates=20,
    ease_items=40,
    pair_epochs=10,
    learning_rate=1e-2,
)
CUT = 60 * DAY


class KilledError(Exception):
    """Stands in for SIGKILL."""


def fit(checkpoint: Path | None = None, kill_after: int = 99) -> Ranker:
    calls = []

    def progress(phase: str, done: int, planned: int, figures: dict[str, float]) -> None:
        calls.append(phase)
        if len(calls) == kill_after:
            raise KilledError

    histories, catalogue = two_tastes()
    ranker, _ = fit_ranker(
        histories,
        catalogue,
        cut=CUT,
        config=SMALL,
        seed=3,
        checkpoint=checkpoint,
        progress=progress,
    )
    return ranker


def weights(ranker: Ranker) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in ranker.state_dict().values()])


def test_a_fitted_ranker_puts_items_of_the_users_own_taste_first() -> None:
    histories, catalogue = two_tastes()
    ranker = fit()
    popularity = item_activity(histories, catalogue.num_items).features(CUT)
    items = ranker.item_table(catalogue, popularity)
    users = ranker.user_table(histories, items)
    top = (users.retrieval @ items.retrieval.T).topk(10, dim=1).indices[:80] % 2
    own = torch.arange(80).unsqueeze(1) % 2
    assert (top == own).float().mean() > 0.9


def test_the_time_that_is_held_out_is_told_in_days() -> None:
    histories, catalogue = two_tastes()
    _, figures = fit_ranker(histories, catalogue, cut=CUT, config=SMALL, seed=3)
    latest = np.sort(histories.timestamp)[-int(len(histories.timestamp) * SMALL.validation_share) :]
    assert figures["held_out_days"] == pytest.approx((CUT - latest[0]) / DAY, rel=0.05)


def test_the_same_seed_gives_the_same_weights() -> None:
    assert torch.equal(weights(fit()), weights(fit()))


@pytest.mark.parametrize("kill_after", [1, 3, 7])
def test_a_killed_fit_resumes_and_ends_the_same(tmp_path: Path, kill_after: int) -> None:
    with pytest.raises(KilledError):
        fit(tmp_path, kill_after)
    assert torch.equal(weights(fit(tmp_path)), weights(fit()))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_nothing_before_the_cut_is_refused() -> None:
    histories, catalogue = two_tastes()
    with pytest.raises(InputError, match="nothing to train on"):
        fit_ranker(histories, catalogue, cut=-1, config=SMALL, seed=0)


def test_a_warm_start_keeps_what_the_older_ranker_knew() -> None:
    histories, catalogue = two_tastes()
    older = fit()
    ranker, figures = fit_ranker(
        histories, catalogue, cut=CUT, config=SMALL, seed=4, warm_start=older
    )
    assert np.isfinite(list(figures.values())).all()
    assert torch.isfinite(weights(ranker)).all()
