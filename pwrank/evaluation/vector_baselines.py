"""Baselines of one vector a user and one an item: iALS and BPR by `implicit`, and text alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from pwrank.evaluation.baselines import codes_of
from pwrank.evaluation.known_log import KnownLog
from pwrank.evaluation.scored_lists import VectorLists, Vectors
from pwrank.ranker.catalogue import centred_text

NO_IMPLICIT = "the library `implicit` is not installed; `pip install 'pwrank[benchmark]'`"


def has_implicit() -> bool:
    """Whether iALS and BPR can be had."""
    return importlib.util.find_spec("implicit") is not None


def ials(log: KnownLog, *, factors: int, regularisation: float, alpha: float) -> VectorLists:
    """Implicit alternating least squares (Hu, Koren and Volinsky 2008), 15 iterations."""
    from implicit.cpu.als import AlternatingLeastSquares

    return _fitted(
        log,
        AlternatingLeastSquares,
        factors=factors,
        regularization=regularisation,
        alpha=alpha,
        iterations=15,
    )


def bpr(log: KnownLog, *, factors: int, learning_rate: float, regularisation: float) -> VectorLists:
    """Bayesian personalised ranking (Rendle et al. 2009), 100 passes on one thread.

    On several threads the same seed would not give the same model.
    """
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    return _fitted(
        log,
        BayesianPersonalizedRanking,
        factors=factors,
        learning_rate=learning_rate,
        regularization=regularisation,
        iterations=100,
        num_threads=1,
    )


def _fitted(log: KnownLog, kind: Callable[..., Any], **settings: Any) -> VectorLists:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # implicit has threads of its own
        model = kind(random_state=log.seed, **settings)
        model.fit(log.matrix.matrix, show_progress=False)
    users, items = (np.asarray(f, np.float32) for f in (model.user_factors, model.item_factors))
    return VectorLists(log.matrix, users, items, log.exclude_seen)


def text_only(log: KnownLog, *, last: int, centred: bool) -> VectorLists:
    """Cosine of an item's text with the mean text of the user's last so many items; 0: of all.

    centred: after what all texts have in common is taken away.
    """
    text: Vectors = log.text if log.text is not None else np.zeros((len(log.items), 1), np.float32)
    text = centred_text(text) if centred else text
    place = pl.int_range(pl.len()).over("user_id")
    length = pl.len().cast(pl.Int64).over("user_id")
    newest = pl.lit(value=True) if last == 0 else place >= length - last
    rows = log.rows.filter(newest)
    user = codes_of(rows["user_id"], log.matrix.users)
    item = codes_of(rows["item_id"], log.matrix.items)
    known = (user >= 0) & (item >= 0)
    shape = (len(log.matrix.users), len(log.matrix.items))
    taken = sparse.csr_matrix(
        (np.ones(int(known.sum()), np.float32), (user[known], item[known])), shape=shape
    )
    means = np.asarray(taken @ text, np.float32)
    return VectorLists(log.matrix, means, text, log.exclude_seen)
