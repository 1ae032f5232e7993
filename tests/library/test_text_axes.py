"""Texts of items and histories meet on the directions in which the catalogue's texts differ."""

import numpy as np
import torch

from pwrank.ranker.catalogue import centred_text, on_axes, text_axes


def some_texts(spread):
    """Unit vectors (300, 12) that differ by `spread` (12,) around a common direction."""
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(300, 12)) * spread + 2.0
    raw[7] = 0.0
    length = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)
    return (raw / length).astype(np.float32)


def test_on_all_axes_inner_products_are_those_of_whole_texts():
    text = some_texts(np.ones(12))
    seen = on_axes(text, torch.from_numpy(text_axes(text, 12))).numpy()
    whole = centred_text(text)
    assert seen.shape == (300, 12)
    assert np.allclose(seen @ seen.T, whole @ whole.T, atol=1e-5)


def test_the_widest_directions_are_kept():
    text = some_texts(np.array([1.0, 1.0, 1.0] + [0.01] * 9))
    axes = text_axes(text, 3)
    assert axes.shape == (12, 3)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    whole = centred_text(text)
    every = text_axes(text, 12)
    lost = []
    for chosen in (axes, np.ascontiguousarray(every[:, -3:])):
        seen = on_axes(text, torch.from_numpy(chosen)).numpy()
        lost.append(np.abs(seen @ seen.T - whole @ whole.T).mean())
    assert lost[0] < 0.03
    assert lost[1] > 0.3


def test_an_item_without_text_meets_nothing_and_a_catalogue_without_any_has_axes():
    text = some_texts(np.ones(12))
    seen = on_axes(text, torch.from_numpy(text_axes(text, 4)))
    assert not seen[7].any()
    nothing = np.zeros((5, 12), np.float32)
    axes = text_axes(nothing, 4)
    assert np.isfinite(axes).all()
    assert not on_axes(nothing, torch.from_numpy(axes)).any()
