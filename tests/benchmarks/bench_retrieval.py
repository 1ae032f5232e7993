"""Retrieval: exact search against an approximate index of certified recall, and against FAISS.

    python tests/benchmarks/bench_retrieval.py [--items 10000 50000 200000 1000000] [--json]

One thread, 64 dimensions, the best 500 for each of some users in blocks. The index is probed until
its recall@500 against exact search is 0.98, as every night. Each size has a process of its own, so
that its peak memory is its own. The ceiling is the time of the bare product of users and items.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).parents[2]
DIM, WIDTH, USERS, CLUSTERS = 64, 500, 256, 400


def clustered(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, DIM) float32: items lie around some kinds, as learned vectors do."""
    import numpy as np

    kinds = np.random.default_rng(0).normal(size=(CLUSTERS, DIM))
    spread = rng.normal(size=(count, DIM)) * 0.7
    return (kinds[rng.integers(0, CLUSTERS, count)] + spread).astype(np.float32)


def measure(items: int, repeats: int) -> dict[str, float]:
    """Figures of one size."""
    import faiss
    import numpy as np
    import torch
    from ceiling import product_rate, seconds

    from pwrank.config import IndexConfig
    from pwrank.lists.exact_search import make_pool
    from pwrank.lists.retrieval import build_index, nearest_rows, rows_found

    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(1)
    pool = make_pool(torch.from_numpy(clustered(items, rng)), np.arange(items, dtype=np.int64))
    queries, sample = clustered(USERS, rng), clustered(USERS, rng)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(pool.vectors.numpy())
    built, build = None, (0.0, 0.0)

    def make() -> None:
        nonlocal built
        built = build_index(pool, sample, IndexConfig(kind="ivf"), k=WIDTH)

    build = seconds(make)
    index, certificate = built
    ways = {
        "exact": lambda: nearest_rows(pool, queries, WIDTH),
        "ivf": lambda: rows_found(index, queries, WIDTH),
        "faiss_flat": lambda: flat.search(queries, WIDTH),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            took[name].append(seconds(way)[0])
    figures = {f"{name}_us": statistics.median(t) / USERS * 1e6 for name, t in took.items()}
    bare = 2 * items * DIM / product_rate(torch.float32) * 1e6
    return {
        "items": items,
        **figures,
        "exact_share_of_ceiling": bare / figures["exact_us"],
        "ivf_recall": certificate.recall,
        "ivf_probes": certificate.probes,
        "ivf_build_processor_s": build[1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def line(size: dict[str, float]) -> str:
    """One size for people."""
    return (
        f"{size['items']:>9,} items: exact {size['exact_us']:,.0f} us a user "
        f"({size['exact_share_of_ceiling']:.0%} of the ceiling), FAISS flat "
        f"{size['faiss_flat_us']:,.0f}, ivf {size['ivf_us']:,.0f} at recall "
        f"{size['ivf_recall']:.3f} ({size['ivf_probes']} probes, built in "
        f"{size['ivf_build_processor_s']:.0f} processor s), peak {size['peak_mb']:,.0f} MB"
    )


def main() -> None:
    """Run and print."""
    for name, value in (("OMP_WAIT_POLICY", "PASSIVE"), ("KMP_BLOCKTIME", "0")):
        os.environ.setdefault(name, value)  # idle threads sleep; before torch is imported
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--items", type=int, nargs="+", default=[10_000, 50_000, 200_000, 1_000_000]
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        json.dump(measure(options.one, options.repeats), sys.stdout)
        return
    sizes = []
    for items in options.items:
        command = [sys.executable, __file__, "--one", str(items), "--repeats", str(options.repeats)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        sizes.append(json.loads(done.stdout))
        print(line(sizes[-1]), file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        json.dump({"sizes": sizes}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
