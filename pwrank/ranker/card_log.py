"""The log of a training on a CUDA card, so that a step needs nothing from the processor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pwrank.ranker.encoder_losses import Targets
from pwrank.ranker.encoder_task import EncoderTask
from pwrank.ranker.history_encoder import HistoryBatch, gap_bucket
from pwrank.ranker.model import Ranker


@dataclass(frozen=True)
class CardLog:
    """All that a step reads of the log; m rows."""

    item: Tensor
    """(m,) int64."""
    event: Tensor
    """(m,) int64."""
    rating: Tensor
    """(m,) float32 in standard deviations; NaN = none."""
    gap: Tensor
    """(m,) int64 bucket of the time since the user's row before."""
    snapshot: Tensor
    """(m,) int64: what was popular then."""
    weight: Tensor
    """(m,) float32 as a target."""

    def read(self, starts: Tensor, ends: Tensor, truncated: Tensor, width: int) -> Targets:
        """What `pad_rows` reads of rows starts[i]:ends[i] (b,), every place of (b, width) a target.

        Shapes depend on nothing but b and width. Padded places weigh nothing.
        """
        rows = starts.unsqueeze(1) + torch.arange(width, device=starts.device)
        mask = rows < ends.unsqueeze(1)
        rows = torch.where(mask, rows, 0)
        batch = HistoryBatch(
            item=torch.where(mask, self.item[rows], 0),
            event=torch.where(mask, self.event[rows], 0),
            rating=self.rating[rows].masked_fill(~mask, torch.nan),
            gap=torch.where(mask, self.gap[rows], 0),
            mask=mask,
            truncated=truncated > 0,
        )
        return Targets(
            batch=batch,
            rows=None,
            item=batch.item.flatten(),
            snapshot=self.snapshot[rows].flatten(),
            weight=self.weight[rows].masked_fill(~mask, 0.0).flatten(),
        )


def card_log(ranker: Ranker, task: EncoderTask) -> CardLog:
    """The log of a task, on the ranker's device."""
    log, scale = task.log, ranker.scale
    first = np.repeat(log.offsets[:-1], log.lengths)
    before = np.maximum(np.arange(log.num_interactions) - 1, first)
    event = np.minimum(log.event, ranker.shape.events - 1).astype(np.int64)
    columns = (
        torch.from_numpy(log.item),
        torch.from_numpy(event),
        torch.from_numpy((log.rating - scale.mean) / scale.std).float(),
        gap_bucket(torch.from_numpy(log.timestamp - log.timestamp[before])),
        torch.from_numpy(task.timeline.at(log.timestamp)),
        torch.from_numpy(log.weight),
    )
    return CardLog(*(column.to(ranker.device) for column in columns))
