"""The model: item vectors, user vectors, and the point-wise score of a (user, item) pair.

Two stages after Covington et al. (RecSys 2016). Retrieval is an inner product in which the
popularity prior is one more dimension; the point-wise ranker scores what retrieval proposes:
score = activation(fusion(user, item) + context).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from pwrank.ranker.activations import ACTIVATIONS
from pwrank.ranker.batching import RatingScale, pad_rows, to_device
from pwrank.ranker.catalogue import Catalogue, on_axes
from pwrank.ranker.cooccurrence import Cooccurrence
from pwrank.ranker.history import FloatArray, Histories, IntArray
from pwrank.ranker.history_encoder import HistoryBatch, HistoryEncoder
from pwrank.ranker.item_encoder import ItemEncoder, ItemInputs
from pwrank.ranker.pair_features import history_text, pair_features, user_features
from pwrank.ranker.pair_scorer import Calibrator, PairScorer
from pwrank.ranker.popularity import FEATURE_NAMES
from pwrank.ranker.preference import PreferenceModel
from pwrank.ranker.retrieval_head import RetrievalHead

PRIOR_BASIS = ("lift_1d", "lift_4d", "lift_16d", "lift_64d", "lift_infd", "log_age")
"""Popularity features that each user weighs in retrieval."""


@dataclass(frozen=True)
class RankerShape:
    """All that is needed to build an untrained ranker of the same form."""

    text_dim: int
    """Width of the text embeddings."""
    text_axes: int = 128
    """Directions of them on which texts of items and histories meet, at most."""
    dim: int = 64
    """Width of item and user vectors before the prior joins them."""
    layers: int = 2
    """Self-attention blocks."""
    heads: int = 2
    """Attention heads."""
    length: int = 100
    """Most recent interactions that are read."""
    events: int = 1
    """Distinct event codes."""
    dropout: float = 0.2
    """Of the history encoder."""
    id_dropout: float = 0.1
    """Share of items that show only text and categories in a training step."""
    hidden: int = 32
    """Hidden units of the point-wise ranker."""
    fusion: str = "hadamard"
    """Name in FUSIONS."""
    activation: str = "sigmoid"
    """Name in ACTIVATIONS."""
    rating_mean: float = 0.0
    """Mean rating of the training log."""
    rating_std: float = 1.0
    """Standard deviation of the ratings of the training log."""


@dataclass(frozen=True)
class ItemTable:
    """A catalogue seen through the model at one time; n items. Made once a run."""

    vectors: Tensor
    """(n, dim) float32."""
    retrieval: Tensor
    """(n, r) float32 for the inner product; the last column ranks for somebody unknown."""
    popularity: Tensor
    """(n, f) float32, `popularity.FEATURE_NAMES`."""
    text: Tensor
    """(n, t) float32 unit: embeddings less what all have in common, on `Ranker.text_axes`."""
    cooccurrence: Cooccurrence
    """Item-to-item weights in the rows of this catalogue."""


@dataclass(frozen=True)
class UserTable:
    """Some users seen through the model; b users."""

    retrieval: Tensor
    """(b, r) float32: for an inner product with `ItemTable.retrieval`."""
    vectors: Tensor
    """(b, dim) float32: taste, for an inner product with `ItemTable.vectors`."""
    gates: Tensor
    """(b, k) float32: which popularity the user follows."""
    text: Tensor
    """(b, t) float32 unit: what the texts of the history say together; 0 where nothing."""
    lengths: Tensor
    """(b,) float32: known interactions, those too old to be read included."""
    batch: HistoryBatch
    """What was read."""
    histories: Histories
    """The same users, whole histories of known items."""


@dataclass(frozen=True)
class PairScores:
    """Scores of (user, candidate) pairs."""

    logit: Tensor
    """(b, c) float32, higher is better; finite."""
    probability: Tensor
    """(b, c) float32: activation(logit); with sigmoid, the probability of an interaction."""


class Ranker(nn.Module):
    """Catalogue and histories in, vectors and point-wise scores out."""

    def __init__(
        self, shape: RankerShape, vocabulary: tuple[object, ...], categories: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.shape = shape
        self.vocabulary = vocabulary
        self.categories = categories
        self.text_axes = nn.Buffer(torch.eye(shape.text_dim)[:, : shape.text_axes].clone())
        """(text_dim, t) float32: see `catalogue.text_axes`."""
        self.scale = RatingScale(shape.rating_mean, shape.rating_std)
        self.item_encoder = ItemEncoder(
            text_dim=shape.text_dim,
            vocabulary=len(vocabulary),
            categories=len(categories),
            dim=shape.dim,
            id_dropout=shape.id_dropout,
        )
        self.history_encoder = HistoryEncoder(
            dim=shape.dim,
            layers=shape.layers,
            heads=shape.heads,
            events=shape.events,
            dropout=shape.dropout,
        )
        self.user_head = nn.Linear(shape.dim, shape.dim)
        self.prior_gate = nn.Linear(shape.dim, len(PRIOR_BASIS) + 1)
        self.prior = nn.Sequential(nn.Linear(len(FEATURE_NAMES), 16), nn.GELU(), nn.Linear(16, 1))
        self.basis = [FEATURE_NAMES.index(name) for name in PRIOR_BASIS]
        self.retrieval_head = RetrievalHead(len(FEATURE_NAMES))
        self.pair_scorer = PairScorer(
            shape.dim, shape.fusion, hidden=shape.hidden, dropout=shape.dropout
        )
        self.calibrator = Calibrator()
        self.preference: PreferenceModel | None = None
        """Heads `like` and `rating`; None for a log without ratings."""
        self.cooccurrence = Cooccurrence.empty(len(vocabulary))
        nn.init.zeros_(self.prior_gate.weight)
        nn.init.zeros_(self.prior_gate.bias)
        with torch.no_grad():
            self.prior_gate.bias[0] = 1.0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.prior_gate.weight.device

    def item_inputs(self, catalogue: Catalogue) -> ItemInputs:
        """The catalogue in the model's own vocabularies, on its device."""
        known = {identity: row + 1 for row, identity in enumerate(self.vocabulary)}
        identity = np.fromiter(
            (known.get(i, 0) for i in catalogue.item_ids.tolist()), np.int64, catalogue.num_items
        )
        named = {name: row + 1 for row, name in enumerate(self.categories)}
        translate = np.array([named.get(name, 0) for name in catalogue.category_names], np.int64)
        labels = catalogue.category_labels
        labels = translate[labels] if len(labels) else np.zeros(0, np.int64)
        return ItemInputs(
            text=torch.from_numpy(catalogue.text).clone().to(self.device),
            identity=torch.from_numpy(identity).to(self.device),
            category_offsets=torch.from_numpy(catalogue.category_offsets).to(self.device),
            category_labels=torch.from_numpy(labels).to(self.device),
        )

    @torch.no_grad()
    def item_table(self, catalogue: Catalogue, popularity: FloatArray) -> ItemTable:
        """Items at one time. popularity: (n, f) from `ItemActivity.features(cut)`."""
        self.eval()
        inputs = self.item_inputs(catalogue)
        vectors = self.item_encoder(inputs)
        features, retrieval = self._at_one_time(vectors, popularity)
        text = on_axes(catalogue.text, self.text_axes)
        together = self._aligned_cooccurrence(inputs.identity.cpu().numpy())
        return ItemTable(vectors, retrieval, features, text, together)

    @torch.no_grad()
    def at_another_time(self, items: ItemTable, popularity: FloatArray) -> ItemTable:
        """The same items seen through the same weights; what no time changes is shared."""
        features, retrieval = self._at_one_time(items.vectors, popularity)
        return replace(items, popularity=features, retrieval=retrieval)

    def _at_one_time(self, vectors: Tensor, popularity: FloatArray) -> tuple[Tensor, Tensor]:
        """Popularity (n, f) on the device, and what retrieval makes of it: (n, r)."""
        features = torch.from_numpy(popularity).clone().to(self.device)
        basis = self.prior_basis(features)
        return features, self.retrieval_head.items(vectors, basis, features)

    def _aligned_cooccurrence(self, identity: IntArray) -> Cooccurrence:
        """Rows and columns in the order of a catalogue; identity (n,), 0 = not in vocabulary."""
        old = self.cooccurrence
        rows = np.flatnonzero(identity > 0)
        place = np.full(len(self.vocabulary), -1, np.int64)
        place[identity[rows] - 1] = rows
        row = place[np.repeat(np.arange(len(place)), np.diff(old.offsets))]
        column = place[old.item]
        kept = (row >= 0) & (column >= 0)
        order = np.lexsort((column[kept], row[kept]))
        lengths = np.bincount(row[kept], minlength=len(identity))
        return Cooccurrence(
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            item=column[kept][order],
            weight=old.weight[kept][order],
            walk=old.walk[kept][order],
        )

    def read_histories(
        self, histories: Histories, *, width: int = 1
    ) -> tuple[HistoryBatch, Histories]:
        """The last `length` known interactions as tensors, and all known ones."""
        known = histories.keep(histories.item >= 0)
        starts = np.maximum(known.offsets[1:] - self.shape.length, known.offsets[:-1])
        events = self.shape.events
        batch, _ = pad_rows(
            known, starts, known.offsets[1:], self.scale, events=events, width=width
        )
        return to_device(batch, self.device), known

    def user_states(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder states (…, dim) -> taste (…, dim) and gates (…, k)."""
        return self.user_head(states), self.prior_gate(states)

    def prior_basis(self, features: Tensor) -> Tensor:
        """Popularity (…, n, f) -> what user vectors weigh per user: (…, n, k) float32.

        First the prior of everybody, then single features: some users follow what is new, some
        what is loved by all.
        """
        return torch.cat([self.prior(features), features[..., self.basis] / 3.0], dim=-1)

    @torch.no_grad()
    def user_table(self, histories: Histories, items: ItemTable, *, width: int = 1) -> UserTable:
        """Users with their histories; one without gets the vector of an empty history.

        width: interactions to which histories are padded at least.
        """
        if self.training:  # asked once a block: telling every part of it takes long
            self.eval()
        batch, known = self.read_histories(histories, width=width)
        states = self.history_encoder.last(batch, items.vectors[batch.item])
        vectors, gates = self.user_states(states)
        lengths = torch.from_numpy(known.lengths).float().to(self.device)
        retrieval = self.retrieval_head.users(vectors, gates, lengths)
        text = history_text(batch, items.text)
        return UserTable(retrieval, vectors, gates, text, lengths, batch, known)

    @torch.no_grad()
    def score(self, users: UserTable, items: ItemTable, candidates: Tensor) -> PairScores:
        """candidates (b, c) int64 rows of the catalogue -> scores (b, c)."""
        self.eval()
        features = pair_features(users, items, candidates)
        meeting = (
            users.vectors,
            items.vectors[candidates],
            items.vectors[users.batch.item],
            users.batch.mask,
            features,
        )
        raw = self.pair_scorer(*meeting)
        logit = self.calibrator(raw, user_features(users, items))
        return PairScores(
            logit=logit,
            probability=ACTIVATIONS[self.shape.activation](logit),
        )

    @torch.no_grad()
    def reasons(
        self, users: UserTable, items: ItemTable, candidates: Tensor, *, most: int = 3
    ) -> Tensor:
        """(b, c, most) int64: history items that speak most for each candidate, -1 = none.

        An item speaks for a candidate by the inner product of their unit vectors.
        """
        unit = nn.functional.normalize(items.vectors, dim=1)
        past = unit[users.batch.item]
        speech = unit[candidates] @ past.transpose(1, 2)
        item, mask = users.batch.item, users.batch.mask
        again = (item.unsqueeze(2) == item.unsqueeze(1)) & mask.unsqueeze(1)
        last_of_item = mask & ~again.triu(1).any(dim=2)
        speech = speech.masked_fill(~last_of_item.unsqueeze(1), float("-inf"))
        top = torch.topk(speech, min(most, speech.shape[-1]), dim=-1)
        chosen = users.batch.item.unsqueeze(1).expand(-1, candidates.shape[1], -1)
        chosen = chosen.gather(2, top.indices).masked_fill(top.values == float("-inf"), -1)
        return nn.functional.pad(chosen, (0, most - chosen.shape[-1]), value=-1)
