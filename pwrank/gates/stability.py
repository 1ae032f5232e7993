"""How far two distributions of one thing lie apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SMOOTHING = 0.5
"""Added to every bin, so that an empty one does not make the index infinite."""


def psi(before: npt.ArrayLike, now: npt.ArrayLike) -> float:
    """Population stability index of two histograms (bins,) of counts or shares; 0 = the same.

    By custom, below .1 is stable and above .25 has shifted.
    """
    shares = []
    for counts in (np.asarray(before, np.float64), np.asarray(now, np.float64)):
        filled = counts + SMOOTHING
        shares.append(filled / filled.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def psi_of_values(before: Floats, now: Floats, *, bins: int = 10) -> float:
    """PSI of values (n,) and (m,), in bins that hold equally many of `before`; 0 if one is empty.

    What is not finite is left out.
    """
    before, now = before[np.isfinite(before)], now[np.isfinite(now)]
    if len(before) == 0 or len(now) == 0:
        return 0.0
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1)
        for v in (before, now)
    ]
    return psi(*counts)
