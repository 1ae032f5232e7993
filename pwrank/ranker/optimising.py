"""How stage one is optimised: AdamW, one epoch at a time, on a processor or a card."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pwrank.config import TrainConfig
from pwrank.ranker.captured_epochs import CapturedEpochs
from pwrank.ranker.encoder_task import EncoderTask
from pwrank.ranker.encoder_training import train_epoch
from pwrank.ranker.model import Ranker
from pwrank.ranker.moving_average import MovingAverage


def make_optimizer(ranker: Ranker, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW on everything that stage one trains; the heads have their own."""
    named = [
        (name, value)
        for name, value in ranker.named_parameters()
        if not name.startswith(("prior.", "retrieval_head.", "pair_scorer.", "calibrator."))
    ]
    on_card = ranker.device.type == "cuda"
    return torch.optim.AdamW(
        [
            {"params": [v for _, v in named if v.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [v for _, v in named if v.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=True,
        capturable=on_card,
    )


def epoch_of(
    ranker: Ranker, task: EncoderTask, optimizer: torch.optim.Optimizer
) -> Callable[[MovingAverage, np.random.Generator], float]:
    """What trains one epoch, on a card from captured graphs."""
    if ranker.device.type == "cuda":
        return CapturedEpochs(ranker, task, optimizer).train
    return lambda average, rng: train_epoch(ranker, task, optimizer, average, rng)
