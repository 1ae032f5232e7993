"""The calibrator: what the window taught of how likely things are holds of the final ranker."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwrank.ranker.calibrating import carry_over
from pwrank.ranker.examples import active_before, known_log
from pwrank.ranker.fitting import fit_ranker
from pwrank.ranker.held_out_training import Evidence, PairBlock, prepare_blocks, score_block
from pwrank.ranker.model import Ranker
from pwrank.ranker.popularity import item_activity
from tests.library.test_fitting import CUT, SMALL
from tests.library.worlds import two_tastes

TOP = 10


@pytest.fixture(scope="module")
def fitted() -> tuple[Ranker, dict[str, float], list[PairBlock], torch.Tensor]:
    """A ranker, its figures, and everybody's candidates at the cut with the vectors of items."""
    histories, catalogue = two_tastes()
    config = SMALL.model_copy(update={"calibration_top": TOP})
    ranker, figures = fit_ranker(histories, catalogue, cut=CUT, config=config, seed=3)
    log = known_log(histories, CUT)
    activity = item_activity(log, catalogue.num_items)
    now = activity.moment(CUT)
    blocks = prepare_blocks(
        ranker, Evidence(log, catalogue, activity), active_before(log, now), depth=SMALL.candidates
    )
    return ranker, figures, blocks, ranker.item_table(catalogue, activity.features(now)).vectors


def mean_of_best(ranker: Ranker, blocks: list[PairBlock], vectors: torch.Tensor) -> float:
    with torch.no_grad():
        told = [
            torch.sigmoid(
                ranker.calibrator(
                    score_block(ranker, block, vectors).topk(TOP, dim=1).values,
                    block.user_features,
                )
            )
            for block in blocks
        ]
    return float(torch.cat(told).mean())


def test_everybodys_best_are_as_likely_as_they_were_taken_in_the_window(fitted) -> None:
    ranker, figures, blocks, vectors = fitted
    assert 0 < figures["taken_share"] < 1
    assert mean_of_best(ranker, blocks, vectors) == pytest.approx(figures["taken_share"], rel=1e-3)


def test_a_shift_is_found_whatever_its_size_and_changes_no_order(fitted) -> None:
    ranker, _, blocks, vectors = fitted
    own, raw = blocks[0].user_features, score_block(ranker, blocks[0], vectors)
    before = ranker.calibrator(raw, own).detach()
    for wanted in (0.9, 1e-4):
        carry_over(ranker, blocks, vectors, top=TOP, taken=wanted)
        assert mean_of_best(ranker, blocks, vectors) == pytest.approx(wanted, rel=1e-3)
        after = ranker.calibrator(raw, own).detach()
        gap = (after - before).numpy()
        assert np.allclose(gap, gap.flat[0], atol=1e-4)


@pytest.mark.parametrize("taken", [0.0, 1.0])
def test_where_nothing_or_all_was_taken_nothing_is_carried_over(fitted, taken: float) -> None:
    ranker, _, blocks, vectors = fitted
    assert carry_over(ranker, blocks, vectors, top=TOP, taken=taken) == 0.0
    assert carry_over(ranker, [], vectors, top=TOP, taken=0.5) == 0.0
