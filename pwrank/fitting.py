"""Train a ranker: popularity prior, history encoder, point-wise scorer, then all of the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pwrank.batching import rating_scale
from pwrank.catalogue import Catalogue
from pwrank.checkpoints import (
    clear_checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from pwrank.cooccurrence import fit_cooccurrence
from pwrank.encoder_training import (
    FULL_SOFTMAX_ITEMS,
    EncoderTask,
    TimeLine,
    fit_prior,
    train_epoch,
)
from pwrank.errors import InputError
from pwrank.examples import Examples, prefixes, seen, targets, window_examples, window_start
from pwrank.history import Histories
from pwrank.pair_training import blocks_of, fit_pairs, prepare_block
from pwrank.popularity import ItemActivity, item_activity, snapshot_times
from pwrank.ranker import ItemTable, Ranker, RankerShape

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called as progress(phase, epochs done, epochs planned, figures)."""


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
    epochs: int = 12
    """At most; early stopping decides."""
    patience: int = 2
    """Epochs without improvement on validation before stopping."""
    batch_tokens: int = 2000
    """Interactions per step of the encoder."""
    negatives: int = 1024
    """Sampled negatives per step; 0 = every item of the catalogue."""
    learning_rate: float = 2e-3
    """Of the encoder (AdamW)."""
    weight_decay: float = 0.01
    """Of matrices; biases and norms have none."""
    validation_share: float = 0.1
    """Latest share of the interactions: validation, and examples of the point-wise ranker."""
    validation_users: int = 4000
    """At most so many examples are held out."""
    snapshots: int = 64
    """Moments at which item popularity is computed for training."""
    prior_steps: int = 40
    """Steps of the popularity prior."""
    candidates: int = 300
    """Candidates per example of the point-wise ranker."""
    pair_epochs: int = 20
    """Passes of the point-wise ranker over its examples."""
    pair_learning_rate: float = 3e-3
    """Of the point-wise ranker (AdamW)."""
    engagement_weight: float = 1.0
    """Weight of the task "will the user take it"."""
    like_weight: float = 0.1
    """Weight of the task "will the user like it"."""
    rating_weight: float = 0.1
    """Weight of the task "how will the user rate it"."""
    like_threshold: float | None = None
    """Rating from which on an item is liked; None = 0.8 of the way up the scale of the log."""
    ease_reg: float = 300.0
    """Ridge of the co-occurrence model."""
    ease_items: int = 6000
    """Most frequent items that get co-occurrence weights."""
    ease_keep: int = 200
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
    return TimeLine(times, torch.from_numpy(activity.features_over_time(times)))


def make_optimizer(ranker: Ranker, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW on everything stage one trains; the prior and the pair scorer have their own."""
    named = [
        (name, value)
        for name, value in ranker.named_parameters()
        if not name.startswith(("prior.", "pair_scorer."))
    ]
    return torch.optim.AdamW(
        [
            {"params": [v for _, v in named if v.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [v for _, v in named if v.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )


@dataclass
class EncoderRun:
    """Where stage one stands; what a checkpoint holds besides the weights."""

    phase: str
    """`search` (before the window, to find when to stop) or `final` (everything)."""
    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    """Epoch of the best figure."""
    best: float = -np.inf
    """The best figure of validation."""


def train_encoder(  # noqa: PLR0913 - knobs of one loop
    ranker: Ranker,
    task: EncoderTask,
    config: TrainConfig,
    run: EncoderRun,
    *,
    epochs: int,
    validate: Callable[[Ranker], float] | None,
    seed: int,
    checkpoint: Path | None,
    progress: Progress | None,
) -> EncoderRun:
    """Epochs until `epochs` or, with `validate`, until patience ends; leaves the best weights."""
    optimizer = make_optimizer(ranker, config)
    best = {name: value.clone() for name, value in ranker.state_dict().items()}
    folder = None if checkpoint is None else checkpoint / run.phase
    found = load_checkpoint(folder)
    if found is not None:
        tensors, facts = found
        ranker.load_state_dict(without_prefix("model", tensors))
        best = without_prefix("best", tensors)
        restore_optimizer(optimizer, without_prefix("optimizer", tensors))
        run = EncoderRun(**facts)
    while run.epoch < epochs and run.epoch - run.best_epoch < config.patience + 1:
        rng = np.random.default_rng([seed, run.epoch, len(run.phase)])
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))
            loss = train_epoch(ranker, task, optimizer, rng)
        run.epoch += 1
        figure = float(run.epoch) if validate is None else validate(ranker)
        if figure > run.best:
            run.best, run.best_epoch = figure, run.epoch
            best = {name: value.clone() for name, value in ranker.state_dict().items()}
        if folder is not None:
            tensors = with_prefix("model", ranker.state_dict())
            tensors |= with_prefix("best", best)
            tensors |= with_prefix("optimizer", optimizer_tensors(optimizer))
            save_checkpoint(folder, tensors, vars(run))
        if progress is not None:
            progress(run.phase, run.epoch, epochs, {"loss": loss, "figure": figure})
    ranker.load_state_dict(best)
    return run


def retrieval_ndcg(
    ranker: Ranker, log: Histories, examples: Examples, items: ItemTable, *, k: int = 10
) -> float:
    """Mean NDCG@k of the inner product over the whole catalogue; seen items left out."""
    gains = []
    discount = 1 / np.log2(np.arange(2, k + 2))
    for block in np.array_split(np.arange(len(examples.user)), len(examples.user) // 256 + 1):
        part = examples.take(block)
        wanted = targets(log, part, len(items.vectors))
        users = ranker.user_vectors(prefixes(log, part), items)
        scores = (users @ items.retrieval.T).cpu().numpy()
        scores[seen(log, part, len(items.vectors)).nonzero()] = -np.inf
        top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        hits = np.take_along_axis(wanted.toarray(), top, axis=1)
        count = np.diff(wanted.indptr)
        ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(count, k)]
        gains.append((hits @ discount[: hits.shape[1]])[count > 0] / ideal[count > 0])
    everything = np.concatenate(gains) if gains else np.zeros(0)
    return float(everything.mean()) if len(everything) else 0.0


def _encoder_task(
    ranker: Ranker, log: Histories, catalogue: Catalogue, config: TrainConfig
) -> EncoderTask:
    """The prior is fitted here, once; stage one then learns what the prior leaves unsaid."""
    timeline = make_timeline(item_activity(log, catalogue.num_items), config.snapshots)
    timeline = TimeLine(timeline.times, timeline.features.to(ranker.device))
    fit_prior(ranker, log, timeline, steps=config.prior_steps)
    with torch.no_grad():
        prior = ranker.prior_basis(timeline.features)
    full = config.negatives == 0 and catalogue.num_items <= FULL_SOFTMAX_ITEMS
    frequency = np.bincount(log.item, minlength=catalogue.num_items) ** 0.75 + 1.0
    return EncoderTask(
        log=log,
        inputs=ranker.item_inputs(catalogue),
        prior=prior,
        timeline=timeline,
        sampling=None if full else frequency / frequency.sum(),
        negatives=config.negatives or 1024,
        batch_tokens=config.batch_tokens,
    )


def _fit_cooccurrence(ranker: Ranker, log: Histories, config: TrainConfig) -> None:
    ranker.cooccurrence = fit_cooccurrence(
        log,
        len(ranker.vocabulary),
        reg=config.ease_reg,
        most_items=config.ease_items,
        keep=config.ease_keep,
    )


def _held_out(log: Histories, config: TrainConfig, seed: int) -> tuple[int, Examples]:
    """Start of the validation window and its examples, at most `validation_users`."""
    start = window_start(log, config.validation_share)
    rng = np.random.default_rng([seed, 1])
    examples = window_examples(log, start, rng)
    if len(examples.user) > config.validation_users:
        chosen = rng.choice(len(examples.user), config.validation_users, replace=False)
        examples = examples.take(np.sort(chosen))
    return start, examples


def _fit_point_wise(  # noqa: PLR0913 - what the examples are made of
    ranker: Ranker,
    log: Histories,
    examples: Examples,
    items: ItemTable,
    config: TrainConfig,
    seed: int,
) -> float:
    blocks = [
        prepare_block(ranker, log, examples.take(part), items, depth=config.candidates)
        for part in blocks_of(examples)
    ]
    highest, lowest = np.nanmax(log.rating, initial=0.0), np.nanmin(log.rating, initial=0.0)
    threshold = config.like_threshold
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return fit_pairs(
            ranker,
            blocks,
            items,
            epochs=config.pair_epochs,
            learning_rate=config.pair_learning_rate,
            weights=(config.engagement_weight, config.like_weight, config.rating_weight),
            like_threshold=float(lowest + 0.8 * (highest - lowest))
            if threshold is None
            else threshold,
            rng=np.random.default_rng([seed, 2]),
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

    The latest window is held out to find when to stop and to teach the point-wise ranker; then a
    fresh encoder learns from everything for as many epochs. A killed fit goes on from `checkpoint`
    and ends the same. Raises InputError where there is nothing to learn from.
    """
    log = known_log(histories, cut)
    if log.num_interactions == 0:
        message = "no interactions with known items before the cut: nothing to train on"
        raise InputError(message)
    device = device or torch.device("cpu")
    start, examples = _held_out(log, config, seed)
    past = log.before(start)
    past = past if past.num_interactions else log
    search = build_ranker(past, catalogue, config, seed).to(device)
    popularity = item_activity(log, catalogue.num_items).features(start)
    _fit_cooccurrence(search, past, config)

    def validate(model: Ranker) -> float:
        return retrieval_ndcg(model, log, examples, model.item_table(catalogue, popularity))

    shared = {"seed": seed, "checkpoint": checkpoint, "progress": progress}
    run = train_encoder(
        search, _encoder_task(search, past, catalogue, config), config, EncoderRun("search"),
        epochs=config.epochs, validate=validate, **shared,
    )
    items = search.item_table(catalogue, popularity)
    loss = _fit_point_wise(search, log, examples, items, config, seed)
    final = build_ranker(log, catalogue, config, seed).to(device)
    if warm_start is not None:
        adopt(final, warm_start)
    _fit_cooccurrence(final, log, config)
    train_encoder(
        final, _encoder_task(final, log, catalogue, config), config, EncoderRun("final"),
        epochs=run.best_epoch, validate=None, **shared,
    )
    final.pair_scorer.load_state_dict(search.pair_scorer.state_dict())
    for phase in ("search", "final"):
        clear_checkpoint(None if checkpoint is None else checkpoint / phase)
    return final.eval(), {
        "validation_ndcg10": run.best,
        "best_epoch": float(run.best_epoch),
        "pair_loss": loss,
        "interactions": float(log.num_interactions),
    }
