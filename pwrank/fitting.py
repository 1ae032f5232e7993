"""Train a ranker: popularity prior, history encoder, point-wise scorer, then all of the log.

1. search: a ranker learns from everything before the latest window; the window says when to stop.
2. held out: the window teaches retrieval head, point-wise scorer and calibrator which evidence
   counts in this world.
3. final: a fresh encoder learns from everything, for as many epochs, under the heads of 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pwrank.batching import rating_scale
from pwrank.catalogue import Catalogue
from pwrank.checkpoints import clear_checkpoint
from pwrank.cooccurrence import fit_cooccurrence
from pwrank.encoder_training import (
    FULL_SOFTMAX_ITEMS,
    EncoderTask,
    TimeLine,
    fit_prior,
    next_item_loss,
    train_epoch,
)
from pwrank.errors import InputError
from pwrank.examples import active_before, at_few_moments, sample, window_examples, window_start
from pwrank.held_out_training import (
    Evidence,
    fit_calibrator,
    fit_retrieval_head,
    fit_scorer,
    prepare_blocks,
)
from pwrank.history import Histories
from pwrank.popularity import ItemActivity, item_activity, snapshot_times
from pwrank.ranker import Ranker, RankerShape
from pwrank.rating_training import fit_rating_heads, like_threshold, rated_examples
from pwrank.training_loop import Epochs, Progress, Step, run_epochs


@dataclass(frozen=True)
class TrainConfig:
    """How the ranker is trained; the defaults fit any catalogue."""

    dim: int = 64
    """Width of item and user vectors."""
    layers: int = 2
    """Self-attention blocks."""
    heads: int = 2
    """Attention heads."""
    history_length: int = 100
    """Most recent interactions that are read."""
    dropout: float = 0.2
    """Of the history encoder."""
    id_dropout: float = 0.1
    """Share of items shown without their id in a training step, so that text alone must do."""
    fusion: str = "hadamard"
    """How user and item meet in the point-wise ranker: a name in FUSIONS."""
    activation: str = "sigmoid"
    """Of the point-wise score: a name in ACTIVATIONS."""
    epochs: int = 20
    """At most; early stopping decides."""
    patience: int = 2
    """Epochs without improvement on validation before stopping."""
    batch_tokens: int = 2000
    """Interactions per step of the encoder."""
    negatives: int = 1024
    """Sampled negatives per step; 0 = every item of the catalogue."""
    learning_rate: float = 3e-3
    """Of the encoder (AdamW)."""
    weight_decay: float = 0.01
    """Of matrices; biases and norms have none."""
    balance: float = 0.5
    """A row of a user with k rows weighs k^-balance: 0 = rows count alike, 1 = users do."""
    validation_share: float = 0.12
    """Latest share of the interactions: validation, and examples of the point-wise ranker."""
    validation_users: int = 1000
    """Users whose next items say when to stop."""
    snapshots: int = 32
    """Moments at which item popularity is computed for training."""
    prior_steps: int = 40
    """Steps of the popularity prior."""
    window_cuts: int = 16
    """Moments of the window at which known users are split into history and future."""
    newcomer_splits: int = 6
    """Random splits of each user who came in the window."""
    newcomer_rows: int = 10
    """Rows after such a split that are to be found."""
    examples: int = 8000
    """Held-out examples at most, for each of the models that learn from them."""
    candidates: int = 300
    """Candidates per example of the point-wise ranker."""
    retrieval_epochs: int = 8
    """Passes of the retrieval head over the examples."""
    pair_hidden: int = 32
    """Hidden units of the point-wise ranker."""
    pair_epochs: int = 15
    """Passes of the point-wise ranker over its examples."""
    pair_learning_rate: float = 1e-2
    """Of the point-wise ranker (AdamW), falling to 0."""
    pair_weight_decay: float = 0.01
    """Of the point-wise ranker."""
    calibration_top: int = 100
    """The probability is calibrated on the best so many of each user."""
    rated_examples: int = 10_000
    """Rated rows that teach the heads `like` and `rating`."""
    like_weight: float = 1.0
    """Weight of the task "will the user like it"."""
    rating_weight: float = 1.0
    """Weight of the task "how will the user rate it"."""
    like_threshold: float | None = None
    """Rating from which on an item is liked; None = 0.8 of the way up the scale of the log."""
    ease_reg: float = 300.0
    """Ridge of the co-occurrence model."""
    ease_items: int = 6000
    """Most frequent items that get co-occurrence weights."""
    ease_keep: int = 300
    """Strongest weights kept per item."""


def known_log(histories: Histories, cut: int) -> Histories:
    """What training may read: known items before the cut (unix seconds)."""
    return histories.keep((histories.timestamp < cut) & (histories.item >= 0))


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
        return Ranker(shape, tuple(catalogue.item_ids.tolist()), catalogue.category_names)


def make_timeline(activity: ItemActivity, most: int) -> TimeLine:
    """Popularity at equally filled moments; fewer of them for a large catalogue (200 MB at most)."""
    sample = activity.features(0)
    affordable = max(int(200e6 / max(sample.nbytes, 1)), 2)
    times = snapshot_times(activity, most=min(most, affordable))
    # Cloned: matrix products round by the alignment of their arguments, and numpy's is by chance.
    return TimeLine(times, torch.from_numpy(activity.features_over_time(times)).clone())


def make_optimizer(ranker: Ranker, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW on everything that stage one trains; the heads have their own."""
    named = [
        (name, value)
        for name, value in ranker.named_parameters()
        if not name.startswith(("prior.", "retrieval_head.", "pair_scorer.", "calibrator."))
    ]
    return torch.optim.AdamW(
        [
            {"params": [v for _, v in named if v.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [v for _, v in named if v.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )


def adopt(ranker: Ranker, older: Ranker) -> None:
    """Warm start: take over every weight of an older ranker of the same shape, ids by name."""
    known = {identity: row + 1 for row, identity in enumerate(older.vocabulary)}
    pairs = [
        (new + 1, known[identity])
        for new, identity in enumerate(ranker.vocabulary)
        if identity in known
    ]
    own, theirs = ranker.state_dict(), older.state_dict()
    for name, value in theirs.items():
        if name in own and own[name].shape == value.shape and "identity" not in name:
            own[name].copy_(value)
    if pairs:
        new_rows, old_rows = (torch.tensor(column) for column in zip(*pairs, strict=True))
        weight = ranker.item_encoder.identity.weight
        with torch.no_grad():
            weight[new_rows] = older.item_encoder.identity.weight[old_rows].to(weight.device)


def balanced(log: Histories, balance: float) -> Histories:
    """The same log, weighted so that heavy users do not drown the others; mean weight as before."""
    factor = np.maximum(log.lengths, 1).astype(np.float64) ** -balance
    weight = log.weight * factor[log.user]
    scale = log.weight.mean() / max(float(weight.mean()), 1e-12)
    return replace(log, weight=(weight * scale).astype(np.float32))


def prepare_encoder_task(
    ranker: Ranker, log: Histories, evidence: Evidence, config: TrainConfig
) -> EncoderTask:
    """Fit the prior, which stage one then takes as given, and the co-occurrence weights.

    log: what may be learned from, at most `evidence.log`.
    """
    ranker.cooccurrence = fit_cooccurrence(
        log,
        len(ranker.vocabulary),
        reg=config.ease_reg,
        most_items=config.ease_items,
        keep=config.ease_keep,
    )
    weighted = balanced(log, config.balance)
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
    fit: _Fit, ranker: Ranker, log: Histories, *, phase: str, planned: int, start: int | None
) -> Epochs:
    """Stage one on `log`; with `start` (unix seconds), the rows from there on say when to stop."""
    config = fit.config
    task = prepare_encoder_task(ranker, log, fit.evidence, config)
    optimizer = make_optimizer(ranker, config)
    later = replace(task, log=balanced(fit.evidence.log, config.balance))

    def validate() -> float:
        return next_item_loss(
            ranker, later, start=start or 0, most_users=config.validation_users, rng=fit.rng(1)
        )

    return run_epochs(
        ranker,
        optimizer,
        Epochs(phase, planned, config.patience),
        Step(
            lambda rng: train_epoch(ranker, task, optimizer, rng),
            None if start is None else validate,
        ),
        seed=fit.seed,
        checkpoint=fit.checkpoint,
        progress=fit.progress,
    )


def _learn_from_window(fit: _Fit, ranker: Ranker, start: int) -> dict[str, float]:
    """Stage two: heads, scorer, calibrator and ratings, in that order."""
    config, evidence = fit.config, fit.evidence
    examples = window_examples(
        evidence.log,
        start,
        cuts=config.window_cuts,
        splits=config.newcomer_splits,
        after=config.newcomer_rows,
        rng=fit.rng(2),
    )
    examples = at_few_moments(sample(examples, config.examples, fit.rng(3)), 24)
    figures = {"held_out_examples": float(len(examples.user))}
    figures["retrieval_loss"] = fit_retrieval_head(
        ranker,
        evidence,
        examples,
        epochs=config.retrieval_epochs,
        learning_rate=0.03,
        rng=fit.rng(4),
    )
    vectors = ranker.item_table(evidence.catalogue, evidence.activity.features(start)).vectors
    blocks = prepare_blocks(ranker, evidence, examples, depth=config.candidates)
    figures["pair_loss"] = fit_scorer(
        ranker,
        blocks,
        vectors,
        epochs=config.pair_epochs,
        learning_rate=config.pair_learning_rate,
        weight_decay=config.pair_weight_decay,
        rng=fit.rng(5),
    )
    everybody = sample(active_before(evidence.log, start), config.examples, fit.rng(6))
    blocks = prepare_blocks(ranker, evidence, everybody, depth=config.candidates)
    figures["calibration_loss"] = fit_calibrator(
        ranker, blocks, vectors, top=config.calibration_top, steps=100
    )
    rated = rated_examples(evidence.log, config.rated_examples, fit.rng(7))
    figures["rating_loss"] = fit_rating_heads(
        ranker,
        evidence,
        at_few_moments(rated, 24),
        threshold=like_threshold(evidence.log, config.like_threshold),
        weights=(config.like_weight, config.rating_weight),
        epochs=config.pair_epochs,
        learning_rate=config.pair_learning_rate,
        rng=fit.rng(8),
    )
    return figures


def fit_ranker(  # noqa: PLR0913 - the one public entry
    histories: Histories,
    catalogue: Catalogue,
    *,
    cut: int,
    config: TrainConfig,
    seed: int,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    warm_start: Ranker | None = None,
    device: torch.device | None = None,
) -> tuple[Ranker, dict[str, float]]:
    """Train on interactions before `cut` (unix seconds); returns the ranker and its figures.

    A killed fit goes on from `checkpoint` and ends the same. Raises InputError where there is
    nothing to learn from.
    """
    log = known_log(histories, cut)
    if log.num_interactions == 0:
        message = "no interactions with known items before the cut: nothing to train on"
        raise InputError(message)
    evidence = Evidence(log, catalogue, item_activity(log, catalogue.num_items))
    device = device or torch.device("cpu")
    fit = _Fit(evidence, config, seed, checkpoint, progress, warm_start, device)
    start = window_start(log, config.validation_share)
    past = log.before(start)
    past = past if past.num_interactions else log
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        search = fit.untrained()
        epochs = _train_encoder(
            fit, search, past, phase="search", planned=config.epochs, start=start
        )
        torch.manual_seed(seed + 1)
        figures = _learn_from_window(fit, search, start)
        torch.manual_seed(seed + 2)
        final = fit.untrained()
        _train_encoder(fit, final, log, phase="final", planned=max(epochs.best, 1), start=None)
    for part in ("retrieval_head", "pair_scorer", "calibrator"):
        getattr(final, part).load_state_dict(getattr(search, part).state_dict())
    for phase in ("search", "final"):
        clear_checkpoint(None if checkpoint is None else checkpoint / phase)
    figures["epochs"], figures["interactions"] = float(epochs.best), float(log.num_interactions)
    figures["validation_loss"] = epochs.best_loss
    return final.eval(), figures
