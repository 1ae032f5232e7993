"""The model card: what a ranker was trained on, how well it does, how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pwrank.run import Run
from pwrank.store import replacing

DUE = "due"
"""Figure of a model that is not to be used for a night to come, with the reason."""

REFUSED = "refused"
"""Figure of a model that gates refused before any night was published with it: what they said.
Nights to come pass it over; a night that is published with it after all takes the mark away."""

CARD = """\
---
library_name: pwrank
pipeline_tag: other
tags: [recommender, point-wise-ranking]
---
# pwrank ranker {version}

Ranks the items of one catalogue for one user, point by point:
score = activation(fusion(user, item)). Trained by pwrank {code} as of {as_of}.

| what | value |
|---|---|
| data until | {until} (nothing from {cut} on) |
| known at | {known_at} |
| text encoder | {encoder} |
| configuration hash | {config_hash} |
| seed | {seed} |
| warm start from | {warm_start} |

## Figures
On the latest time window, which the weights being judged had not seen:

| figure | value |
|---|---|
{metrics}

## Files
| file | sha256 |
|---|---|
{hashes}

Load with `pwrank.ranker.weights.load_ranker(folder)`; safetensors and JSON, no pickle.

## Limits
The scores rank one catalogue for its own users; they say nothing about items or people elsewhere.
Past behaviour carries past exposure: what was never shown could not be chosen.

## Training section
```json
{train}
```
"""


def write_model_card(path: Path, run: Run, figures: Mapping[str, Any]) -> None:
    """Write README.md beside the weights."""
    config = run.config
    rows = [f"| {name} | {value:.5g} |" for name, value in figures["metrics"].items()]
    hashes = [f"| {name} | `{value}` |" for name, value in figures["sha256"].items()]
    text = CARD.format(
        version=figures["model_version"],
        code=figures["code_version"],
        as_of=run.as_of,
        until=figures["data_until"] or "no time is known",
        cut=run.cut.isoformat(),
        known_at=run.known_at.isoformat(),
        encoder=config.encoder.model,
        config_hash=figures["config_hash"],
        seed=config.seed,
        warm_start=figures["warm_start"] or "none",
        metrics="\n".join(rows),
        hashes="\n".join(hashes),
        train=json.dumps(config.train.model_dump(mode="json"), indent=1),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
