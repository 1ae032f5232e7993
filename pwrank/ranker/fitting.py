"""Train a ranker: popularity prior, history encoder, point-wise scorer, then all of the log.

1. search: a ranker learns from everything before the latest window; the window says when to stop.
2. held out: the window teaches retrieval head, point-wise scorer and calibrator which evidence
   counts in this world.
3. final: a fresh encoder learns from everything, for as many epochs, under the heads of 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pwrank.config import TrainConfig
from pwrank.ranker.batching import rating_scale
from pwrank.ranker.calibrating import carry_over, fit_calibrator
from pwrank.ranker.catalogue import Catalogue, text_axes
from pwrank.ranker.checkpoints import clear_checkpoint
from pwrank.ranker.cooccurrence import CooccurrenceShape
from pwrank.ranker.cooccurrence_choice import shape_of
from pwrank.ranker.encoder_task import (
    FULL_SOFTMAX_ITEMS,
    EncoderTask,
    TimeLine,
    as_targets,
    fit_prior,
    make_timeline,
)
from pwrank.ranker.encoder_training import next_item_loss
from pwrank.ranker.examples import (
    active_before,
    at_few_moments,
    known_log,
    sample,
    window_examples,
    window_start,
)
from pwrank.ranker.held_out_training import (
    Evidence,
    fit_retrieval_head,
    fit_scorer,
    prepare_blocks,
)
from pwrank.ranker.history import Histories
from pwrank.ranker.model import Ranker, RankerShape
from pwrank.ranker.optimising import epoch_of, make_optimizer
from pwrank.ranker.popularity import item_activity
from pwrank.ranker.preference_training import learn_preference
from pwrank.ranker.rare_cooccurrence import learn_cooccurrence
from pwrank.ranker.training_loop import Epochs, Progress, Step, run_epochs
from pwrank.ranker.validation import Champion, validation_figures
from pwrank.ranker.warm_start import adopt


def build_ranker(log: Histories, catalogue: Catalogue, config: TrainConfig, seed: int) -> Ranker:
    """An untrained ranker for this catalogue."""
    scale = rating_scale(log.rating)
    shape = RankerShape(
        text_dim=catalogue.text_dim,
        dim=config.dim,
        layers=config.layers,
        heads=config.heads,
        length=config.history_length,
        events=int(log.event.max(initial=0)) + 1,
        dropout=config.dropout,
        hidden=config.pair_hidden,
        id_dropout=config.id_dropout,
        fusion=config.fusion,
        activation=config.activation,
        rating_mean=scale.mean,
        rating_std=scale.std,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ranker = Ranker(shape, tuple(catalogue.item_ids.tolist()), catalogue.category_names)
    axes = torch.from_numpy(text_axes(catalogue.text, shape.text_axes))
    ranker.text_axes.copy_(axes)
    return ranker


def prepare_encoder_task(
    ranker: Ranker,
    log: Histories,
    evidence: Evidence,
    config: TrainConfig,
    shape: CooccurrenceShape,
) -> EncoderTask:
    """Fit the prior, which stage one then takes as given, and the co-occurrence weights.

    log: what may be learned from, at most `evidence.log`.
    """
    ranker.cooccurrence = learn_cooccurrence(
        log, evidence.catalogue.text, shape, exact_items=config.ease_items
    )
    weighted = as_targets(log, config.balance, repeats=evidence.repeats)
    timeline = make_timeline(evidence.activity, config.snapshots)
    timeline = TimeLine(timeline.times, timeline.features.to(ranker.device))
    fit_prior(ranker, weighted, timeline, steps=config.prior_steps)
    num_items = evidence.catalogue.num_items
    full = config.negatives == 0 and num_items <= FULL_SOFTMAX_ITEMS
    frequency = np.bincount(log.item, minlength=num_items) ** 0.75 + 1.0
    with torch.no_grad():
        prior = ranker.prior_basis(timeline.features)
    return EncoderTask(
        log=weighted,
        inputs=ranker.item_inputs(evidence.catalogue),
        prior=prior,
        timeline=timeline,
        sampling=None if full else frequency / frequency.sum(),
        negatives=config.negatives or 1024,
        batch_tokens=config.batch_tokens,
        epoch_rows=config.epoch_rows,
    )


@dataclass(frozen=True)
class _Fit:
    """What the three parts of a fit share."""

    evidence: Evidence
    config: TrainConfig
    seed: int
    checkpoint: Path | None
    progress: Progress | None
    warm_start: Ranker | None
    device: torch.device

    def rng(self, part: int) -> np.random.Generator:
        """A generator of its own for each part, so that none depends on what ran before."""
        return np.random.default_rng([self.seed, part])

    def untrained(self) -> Ranker:
        """A new ranker, warm-started when asked."""
        ranker = build_ranker(self.evidence.log, self.evidence.catalogue, self.config, self.seed)
        if self.warm_start is not None:
            adopt(ranker, self.warm_start)
        return ranker.to(self.device)


def _train_encoder(
    fit: _Fit,
    ranker: Ranker,
    log: Histories,
    *,
    phase: str,
    planned: int,
    start: int | None,
    shape: CooccurrenceShape,
) -> Epochs:
    """Stage one on `log`; with `start` (unix seconds), the rows from there on say when to stop."""
    config = fit.config
    task = prepare_encoder_task(ranker, log, fit.evidence, config, shape)
    optimizer = make_optimizer(ranker, config)
    everything = as_targets(fit.evidence.log, config.balance, repeats=fit.evidence.repeats)
    later = replace(task, log=everything)

    def validate(candidate: Ranker) -> float:
        return next_item_loss(
            candidate, later, start=start or 0, most_users=config.validation_users, rng=fit.rng(1)
        )

    return run_epochs(
        ranker,
        optimizer,
        Epochs(phase, planned, config.patience),
        Step(
            epoch_of(ranker, task, optimizer),
            None if start is None else validate,
        ),
        seed=fit.seed,
        decay=config.averaging,
        checkpoint=fit.checkpoint,
        progress=fit.progress,
    )


def _learn_from_window(fit: _Fit, ranker: Ranker, start: int) -> dict[str, float]:
    """Stage two: retrieval head, scorer and calibrator, in that order."""
    config, evidence = fit.config, fit.evidence
    examples = window_examples(
        evidence.log,
        start,
        cuts=config.window_cuts,
        splits=config.newcomer_splits,
        after=config.newcomer_rows,
        rng=fit.rng(2),
    )
    examples = at_few_moments(sample(examples, config.examples, fit.rng(3)), config.moments)
    figures = {"held_out_examples": float(len(examples.user))}
    epochs, rng = config.retrieval_epochs, fit.rng(4)
    figures["retrieval_loss"] = fit_retrieval_head(
        ranker, evidence, examples, epochs=epochs, learning_rate=0.03, rng=rng
    )
    vectors = ranker.item_table(evidence.catalogue, evidence.activity.features(start)).vectors
    blocks = prepare_blocks(ranker, evidence, examples, depth=config.candidates, rng=fit.rng(8))
    figures["pair_loss"] = fit_scorer(
        ranker,
        blocks,
        vectors,
        loss_name=config.loss,
        epochs=config.pair_epochs,
        learning_rate=config.pair_learning_rate,
        weight_decay=config.pair_weight_decay,
        rng=fit.rng(5),
    )
    everybody = sample(active_before(evidence.log, start), config.examples, fit.rng(6))
    blocks = prepare_blocks(ranker, evidence, everybody, depth=config.candidates)
    figures["calibration_loss"], figures["taken_share"] = fit_calibrator(
        ranker, blocks, vectors, top=config.calibration_top, steps=100
    )
    return figures


def _carry_calibration_over(fit: _Fit, final: Ranker, cut: int, taken: float) -> float:
    """Of everybody at the cut, as the window's was of everybody before the window."""
    config, evidence = fit.config, fit.evidence
    now = evidence.activity.moment(cut)
    everybody = sample(active_before(evidence.log, now), config.examples, fit.rng(10))
    blocks = prepare_blocks(final, evidence, everybody, depth=config.candidates)
    vectors = final.item_table(evidence.catalogue, evidence.activity.features(now)).vectors
    return carry_over(final, blocks, vectors, top=config.calibration_top, taken=taken)


def fit_ranker(  # noqa: PLR0913 - the one public entry
    histories: Histories,
    catalogue: Catalogue,
    *,
    cut: int,
    config: TrainConfig,
    seed: int,
    repeats: bool = False,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    warm_start: Ranker | None = None,
    champion: Champion | None = None,
    device: torch.device | None = None,
) -> tuple[Ranker, dict[str, float]]:
    """Train on interactions before `cut` (unix seconds); returns the ranker and its figures.

    champion: the ranker in use, tried on the same users as the new one and popularity.
    With `repeats`, items of a user's history may be ranked again, and count when taken again.

    A killed fit goes on from `checkpoint` and ends the same. Raises InputError where there is
    nothing to learn from.
    """
    log = known_log(histories, cut)
    evidence = Evidence(log, catalogue, item_activity(log, catalogue.num_items), repeats)
    device = device or torch.device("cpu")
    fit = _Fit(evidence, config, seed, checkpoint, progress, warm_start, device)
    start = window_start(log, config.validation_share)
    past = log.before(start) if (log.timestamp < start).any() else log
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        search = fit.untrained()
        shape = shape_of(config, past, log, start, catalogue.text, fit.rng(7))
        train = partial(_train_encoder, fit, shape=shape)
        stop = train(search, past, phase="search", planned=config.epochs, start=start)
        torch.manual_seed(seed + 1)
        figures = _learn_from_window(fit, search, start)
        rivals, users = (search, champion), config.validation_users
        figures |= validation_figures(rivals, evidence, start, most_users=users, rng=fit.rng(9))
        torch.manual_seed(seed + 2)
        # Begun anew: one that went on with the log would know it better than the heads expect.
        final = fit.untrained()
        train(final, log, phase="final", planned=max(stop.best, 1), start=None)
    for part in ("retrieval_head", "pair_scorer", "calibrator"):
        getattr(final, part).load_state_dict(getattr(search, part).state_dict())
    shift = _carry_calibration_over(fit, final, cut, figures["taken_share"])
    figures["calibration_shift"] = shift
    # The heads `like` and `rating` share nothing with the rest.
    final.preference, learned = learn_preference(
        final, log, catalogue, config, seed=seed, start=start
    )
    figures |= learned
    for phase in ("search", "final"):
        clear_checkpoint(None if checkpoint is None else checkpoint / phase)
    figures["epochs"], figures["interactions"] = float(stop.best), float(log.num_interactions)
    figures["held_out_days"] = (cut - start) / 86_400
    figures["validation_loss"] = stop.best_loss
    figures |= {"ease_reg": shape.ridge, "ease_text": shape.text, "ease_keep": float(shape.keep)}
    return final.eval(), figures
