"""The engagement score of a whole night: the same numbers as `Ranker.score`, many times faster.

The first layer of the point-wise ranker is a sum of what the item, the user and the pair say. The
item's part is computed once a night, the user's once a user, and what is left for each pair is a
few inner products and the activation. Only the head that orders the lists is computed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pwrank.ranker.activations import ACTIVATIONS
from pwrank.ranker.compiled import aligned
from pwrank.ranker.fusions import InnerProductFusion
from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.inner_products import add_inner_products
from pwrank.ranker.model import ItemTable, Ranker, UserTable
from pwrank.ranker.pair_features import (
    COOCCURRENCES,
    INNER_PRODUCTS,
    ITEM_FEATURES,
    OWN,
    PAIRWISE_FEATURES,
    RECENT_ITEMS,
    SMALLEST_COOCCURRENCE,
    STRONGEST,
    USER_FEATURES,
    USER_POPULARITY,
    WALK,
    item_sides,
)
from pwrank.ranker.pair_kernels import (
    add_logarithms,
    add_own_places,
    add_perceptron,
    add_weights,
    score_pairs,
)
from pwrank.ranker.pair_scorer import LIMIT, Head
from pwrank.ranker.popularity import FEATURE_NAMES
from pwrank.ranker.reason_kernels import find_reasons
from pwrank.ranker.user_blocks import BLOCK_USERS, block_table, user_blocks
from pwrank.ranker.user_kernels import add_recent_text, add_user_features

FUSED = len(PAIRWISE_FEATURES)
"""Column behind the pairwise features: what the fusion adds to the score."""

PAIR = slice(0, len(PAIRWISE_FEATURES))
ITEM = slice(PAIR.stop, PAIR.stop + len(ITEM_FEATURES))
USER = slice(ITEM.stop, None)

FOLLOWED = np.array([FEATURE_NAMES.index(name) for name in USER_POPULARITY.values()], np.int64)
"""Columns of an item's popularity whose means are features of a user."""


class NightScorer:
    """Ranker and items of one night, prepared; what it answers for a user depends on no other."""

    @torch.no_grad()
    def __init__(self, ranker: Ranker, items: ItemTable) -> None:
        self.ranker, self.items = ranker.eval(), items
        scorer = ranker.pair_scorer
        self._head = head = scorer.head
        self._readout = head.readout.weight[0]
        self._readouts = tuple(_array(self._readout))
        weight, linear = head.hidden.weight, _with_half(head.linear.weight[0], head)
        self._tables = {name: _array(table) for name, table in item_sides(items).items()}
        self._unit = _array(nn.functional.normalize(items.vectors, dim=1))
        together = items.cooccurrence
        self._spoken_for = together.item.astype(np.int32)
        self._said = aligned(np.stack([together.weight, together.walk], axis=1))
        self._popularity = _array(items.popularity)
        scaled = scorer.standardised(items.popularity, ITEM)
        self._item_hidden = _array(scaled @ weight[:, ITEM].T)
        self._item_score = _array(scaled @ linear[ITEM])
        self._center, self._scale = _array(scorer.center[PAIR]), _array(1 / scorer.spread[PAIR])
        self._features = tuple(self._center)  # for its length: see `add_perceptron`
        self._weights, self._linear = _array(weight[:, PAIR].T), _array(linear[PAIR])

    @torch.no_grad()
    def probability(self, users: UserTable, candidates: IntArray) -> FloatArray:
        """(b, c) float32: `Ranker.score(...).probability` of candidates (b, c), -1 = none."""
        return self.activated(self.logit(users, candidates))

    def activated(self, logit: Tensor) -> FloatArray:
        """The score of what `logit` gave."""
        score: FloatArray = ACTIVATIONS[self.ranker.shape.activation](logit).numpy()
        return score

    @torch.no_grad()
    def logit(self, users: UserTable, candidates: IntArray) -> Tensor:
        """(b, c) float32: `Ranker.score(...).logit`."""
        own = self._user_features(users)
        raw = np.zeros(candidates.shape, np.float32)
        asked = np.flatnonzero((candidates >= 0).any(axis=1))
        if len(asked):  # a block is filled up with users of whom nothing is asked
            some = candidates[: asked[-1] + 1]
            features = np.empty((len(some), FUSED + 1, some.shape[1]), np.float32)
            self._add_products(features, users, candidates)
            self._add_cooccurrence(features, users.histories, some)
            offsets, history = users.histories.offsets, users.histories.item
            add_own_places(offsets, history, some, _columns(OWN), features)
            self._score(features, own, some, raw)
        logit: Tensor = self.ranker.calibrator(torch.from_numpy(raw), own)
        return logit

    def as_in_lists(
        self,
        ask: Callable[[UserTable, IntArray], FloatArray | Tensor],
        histories: Histories,
        rows: IntArray,
    ) -> FloatArray:
        """(b, c) float32: what `ask` says of rows (b, c) for b users, to the bit as in their lists.

        ask: `probability` or `logit`, given a block at a time: an activation, too, rounds by shape.
        """
        told = np.zeros(rows.shape, np.float32)
        everyone = np.arange(len(rows), dtype=np.int64)
        for block in user_blocks(histories, everyone, self.ranker.shape.length):
            asked = np.full((BLOCK_USERS, rows.shape[1]), -1, np.int64)
            asked[: len(block.users)] = rows[block.users]
            table = block_table(self.ranker, histories, block, self.items)
            told[block.users] = ask(table, asked)[: len(block.users)]
        return told

    def _score(
        self, features: FloatArray, own: Tensor, candidates: IntArray, out: FloatArray
    ) -> None:
        head = self._head
        scaled = self.ranker.pair_scorer.standardised(own, USER)
        hidden = scaled @ head.hidden.weight[:, USER].T + head.hidden.bias
        bias = head.linear.bias + head.readout.bias
        score = scaled @ head.linear.weight[0, USER] + hidden @ self._readout / 2 + bias
        score_pairs(
            features,
            candidates,
            self._center,
            self._scale,
            np.float32(LIMIT),
            self._item_score,
            _array(score),
            self._linear,
            out,
        )
        add_perceptron(
            features,
            self._features,
            candidates,
            self._item_hidden,
            _array(hidden),
            self._weights,
            self._readouts,
            out,
        )

    def _user_features(self, users: UserTable) -> Tensor:
        """`user_features` of the users."""
        own, batch = torch.empty(len(users.vectors), len(USER_FEATURES)), users.batch
        own[:, 0] = torch.log1p(users.lengths)
        read = (batch.item.numpy(), batch.mask.numpy(), batch.rating.numpy())
        add_user_features(*read, self._popularity, FOLLOWED, own.numpy())
        return own

    def _user_sides(self, users: UserTable) -> dict[str, Tensor]:
        """`user_sides` of the users."""
        text = torch.empty(len(users.text), len(INNER_PRODUCTS["text"]), users.text.shape[1])
        text[:, 0] = users.text
        read = (users.batch.item.numpy(), users.batch.mask.numpy())
        add_recent_text(*read, self._tables["text"], RECENT_ITEMS, text.numpy())
        taste, popularity = users.vectors.unsqueeze(1), users.gates.unsqueeze(1)
        return {"taste": taste, "popularity": popularity, "text": text}

    def _add_products(self, features: FloatArray, users: UserTable, candidates: IntArray) -> None:
        """Inner products, the fusion among them where it is one, else by the fusion itself."""
        fusion, scale = self._head.fusion, self._head.fusion_scale
        sides = self._user_sides(users)
        columns = {table: _columns(members) for table, members in INNER_PRODUCTS.items()}
        if isinstance(fusion, InnerProductFusion):
            query = (scale * fusion.query(users.vectors)).unsqueeze(1)
            sides["taste"] = torch.cat([sides["taste"], query], dim=1)
            columns["taste"] = np.append(columns["taste"], FUSED)
        else:
            rows = torch.from_numpy(np.maximum(candidates, 0))
            past = self.items.vectors[users.batch.item]
            fused = fusion(users.vectors, self.items.vectors[rows], past, users.batch.mask)
            features[:, FUSED] = (scale * fused).numpy()[: len(features)]
        some = candidates[: len(features)]
        for name, table in self._tables.items():
            add_inner_products(_array(sides[name]), table, some, columns[name], features)

    def _add_cooccurrence(
        self, features: FloatArray, histories: Histories, candidates: IntArray
    ) -> None:
        names = (*COOCCURRENCES, STRONGEST)
        columns = _columns(names)
        add_weights(
            histories.offsets,
            histories.item,
            np.array(list(COOCCURRENCES.values()), np.int64),
            self.items.cooccurrence.offsets,
            self._spoken_for,
            self._said,
            candidates,
            np.append(columns, _columns((WALK,))),
            features,
        )
        into = _columns(tuple(f"log_{name}" for name in names))
        add_logarithms(features, columns, into, np.float32(SMALLEST_COOCCURRENCE))

    def reasons(self, users: UserTable, chosen: IntArray, *, most: int) -> IntArray:
        """(b, c, most): `Ranker.reasons` of the rows (b, c), -1 = none."""
        out = np.empty((*chosen.shape, most), np.int64)
        offsets, items = distinct_items(users)
        find_reasons(self._unit, offsets, items, chosen, out)
        return out


def distinct_items(users: UserTable) -> tuple[IntArray, IntArray]:
    """Offsets (b + 1,) and items of what was read of each history, each item once."""
    batch = users.batch
    item, mask = batch.item.numpy(), batch.mask.numpy()
    order = np.argsort(np.where(mask, item, np.iinfo(np.int64).max), axis=1, kind="stable")
    item, mask = np.take_along_axis(item, order, 1), np.take_along_axis(mask, order, 1)
    mask[:, 1:] &= item[:, 1:] != item[:, :-1]
    return np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64), item[mask]


def _columns(names: tuple[str, ...]) -> IntArray:
    """Places of pairwise features."""
    return np.array([PAIRWISE_FEATURES.index(name) for name in names], np.int64)


def _with_half(linear: Tensor, head: Head) -> Tensor:
    """Linear weights (f,) with those of the half of GELU that is linear: see `pair_kernels`."""
    return linear + head.readout.weight[0] @ head.hidden.weight / 2


def _array(values: Tensor) -> FloatArray:
    """C-contiguous float32, large ones in large pages: rows are fetched in any order."""
    return aligned(values.detach().float().numpy())
