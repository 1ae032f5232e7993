"""Encoding texts: pwrank against sentence-transformers, same model, same texts, in alternation.

    python tests/benchmarks/bench_embed.py [--json] [--threads 2] [--repeats 5]

Prints texts a second, the ratio (median of the pairwise ratios), the cosine between the two, and
the share of the machine's own matrix-product rate that the model's arithmetic reaches. The peer has
a process of its own, with as many threads: what pwrank asks of the allocator speeds it up too.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import random
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pwrank.encoder.text_encoder import TextEncoder

WORDS = (
    "the a of and with for in on to from old new small large red blue green black white steel wood "
    "glass paper cotton leather shoe lamp chair table clock mirror basket bottle bag cup plate "
    "garden kitchen winter summer travel story love war river mountain city night dream family "
    "history music light set pack pair vintage classic modern natural heart star flower bird "
    "retrospot polkadot jam jar bunting alarm cake stand lunch box hot water union jack doormat"
)

LENGTHS = {"short": (800, 4, 16), "long": (64, 150, 190)}
"""Texts, fewest and most words of each."""


def make_texts(count: int, fewest: int, most: int) -> list[str]:
    """Texts of the given length in words, the same every time."""
    rng = random.Random(7)  # noqa: S311
    words = WORDS.split()
    return [" ".join(rng.choices(words, k=rng.randint(fewest, most))) for _ in range(count)]


def encode_for(asking: Connection, folder: str, threads: int) -> None:
    """The peer: encode each list of texts that is asked for; answers vectors and seconds."""
    import torch
    from ceiling import seconds
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(folder, device="cpu")
    while texts := asking.recv():
        vectors = model.encode(texts)
        asking.send((vectors, seconds(functools.partial(model.encode, texts))))


def compare(
    encoder: TextEncoder, peer: Connection, texts: list[str], repeats: int
) -> dict[str, float]:
    """Figures of one length of text."""
    import numpy as np
    import torch
    from ceiling import contest, product_rate, seconds

    def asked() -> tuple[Any, tuple[float, float]]:
        peer.send(texts)
        answer: tuple[Any, tuple[float, float]] = peer.recv()
        return answer

    expected = asked()[0]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    before = encoder.tokens_encoded
    vectors = encoder.encode(texts)
    tokens = encoder.tokens_encoded - before
    told = contest(
        lambda: seconds(lambda: encoder.encode(texts)),
        lambda: asked()[1],
        units=(1, 1),
        repeats=repeats,
    )
    dtype = getattr(torch, str(encoder.description["precision"]))
    rate = encoder.flops(len(texts), tokens / len(texts)) / told.own
    cosines = (vectors * expected).sum(axis=1)
    return {
        "texts": len(texts),
        "tokens_per_text": tokens / len(texts),
        "pwrank_texts_per_s": len(texts) / told.own,
        "peer_texts_per_s": len(texts) / told.peer,
        "ratio": told.ratio,
        "processor_time_ratio": told.ratio_processor,
        "cosine_min": float(cosines.min()),
        "cosine_mean": float(cosines.mean()),
        "share_of_product_rate": rate / product_rate(dtype),
    }


def main() -> None:
    """Run and print."""
    for name, value in (("OMP_WAIT_POLICY", "PASSIVE"), ("KMP_BLOCKTIME", "0")):
        os.environ.setdefault(name, value)  # idle threads sleep; before torch is imported
    import torch

    from pwrank.config import EncoderConfig
    from pwrank.encoder.files import find_encoder_files
    from pwrank.encoder.text_encoder import load_encoder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = EncoderConfig(max_length=256)
    theirs, end = multiprocessing.Pipe()
    folder = str(find_encoder_files(config).folder)
    apart = multiprocessing.get_context("spawn")
    apart.Process(target=encode_for, args=(end, folder, options.threads), daemon=True).start()
    result: dict[str, dict[str, float]] = {}
    for precision in ("auto", "float32"):
        settings = config.model_copy(update={"precision": precision, "device": "cpu"})
        ours = load_encoder(settings, threads=options.threads)
        for name, (count, fewest, most) in LENGTHS.items():
            label = f"{name} {ours.description['precision']}"
            texts = make_texts(count, fewest, most)
            result[label] = compare(ours, theirs, texts, options.repeats)
            print(line(label, result[label]), file=sys.stderr if options.json else sys.stdout)
    theirs.send([])
    if options.json:
        json.dump(result, sys.stdout, indent=1)


def line(name: str, figures: dict[str, float]) -> str:
    """One comparison for people."""
    return (
        f"{name:<15} {figures['tokens_per_text']:4.0f} tokens  "
        f"pwrank {figures['pwrank_texts_per_s']:.1f}/s, "
        f"sentence-transformers {figures['peer_texts_per_s']:.1f}/s: {figures['ratio']:.2f} times "
        f"({figures['processor_time_ratio']:.2f} in processor time), "
        f"cosine >= {figures['cosine_min']:.5f}, "
        f"{figures['share_of_product_rate']:.0%} of the product rate"
    )


if __name__ == "__main__":
    main()
