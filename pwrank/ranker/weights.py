"""A ranker on disk: safetensors for arrays, JSON for facts, no pickle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pwrank.datasets import DatasetRef
from pwrank.errors import LakeError
from pwrank.ranker.cooccurrence import Cooccurrence
from pwrank.ranker.model import Ranker, RankerShape
from pwrank.ranker.preference import PreferenceModel
from pwrank.signatures import verify_ref
from pwrank.store import replacing, write_json

WEIGHTS_FILE = "ranker.safetensors"
FACTS_FILE = "ranker.json"

NETWORK = 2
"""Raise when the same weights would mean something else: the network reads them in another way."""


def save_ranker(ranker: Ranker, folder: Path) -> list[Path]:
    """Write the ranker into a folder; returns the files, weights first."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model/{k}": v.detach().cpu().contiguous() for k, v in ranker.state_dict().items()}
    tensors |= ranker.cooccurrence.to_tensors("cooccurrence/")
    if ranker.preference is not None:
        tensors |= ranker.preference.to_tensors()
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary)
    facts = {
        "network": NETWORK,
        "shape": asdict(ranker.shape),
        "vocabulary": list(ranker.vocabulary),
        "categories": list(ranker.categories),
    }
    write_json(folder / FACTS_FILE, facts)
    return [folder / WEIGHTS_FILE, folder / FACTS_FILE]


def read_ranker(lake: Path, model: DatasetRef) -> Ranker:
    """The ranker behind a ref. Raises LakeError if a file is not the one that was written."""
    verify_ref(lake, model)
    return load_ranker(lake / model.path)


def load_ranker(folder: Path, device: torch.device | None = None) -> Ranker:
    """Read what `save_ranker` wrote; in evaluation mode.

    Raises LakeError for a model that another version of pwrank wrote in another form.
    """
    try:
        ranker = _read(folder)
    except (KeyError, TypeError, RuntimeError):  # an array or a field that is not there, or more
        raise LakeError(
            f"{folder}: another version of pwrank wrote this model; run its date again with this "
            "version to train it anew"
        ) from None
    return ranker.to(device or torch.device("cpu")).eval()


def _read(folder: Path) -> Ranker:
    facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
    if facts["network"] != NETWORK:
        raise KeyError(facts["network"])
    ranker = Ranker(
        RankerShape(**facts["shape"]), tuple(facts["vocabulary"]), tuple(facts["categories"])
    )
    tensors = load_file(folder / WEIGHTS_FILE)
    model = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
    ranker.load_state_dict(model)
    ranker.cooccurrence = Cooccurrence.from_tensors(tensors, "cooccurrence/")
    ranker.preference = PreferenceModel.from_tensors(tensors)
    return ranker
