"""Stage two: learn from held-out recent time which evidence counts in this world.

The encoder was fitted before the window, so the examples show it as good and as wrong as it will
be tomorrow. Three small models learn from them: the retrieval head, the point-wise scorer and, in
`calibrating`, the calibrator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pwrank.ranker.catalogue import Catalogue
from pwrank.ranker.examples import Examples, prefixes, seen, targets
from pwrank.ranker.history import Histories, IntArray
from pwrank.ranker.losses import LOSSES, softmax_loss
from pwrank.ranker.model import ItemTable, Ranker, UserTable
from pwrank.ranker.pair_features import PAIR_FEATURES, pair_features, user_features
from pwrank.ranker.popularity import ItemActivity
from pwrank.ranker.proposals import propose

BLOCK_USERS = 200
"""Examples that are prepared together."""


@dataclass(frozen=True)
class Evidence:
    """Where examples come from."""

    log: Histories
    """All interactions of known items."""
    catalogue: Catalogue
    activity: ItemActivity
    """Of the same log: it answers for any moment with what was known before."""
    repeats: bool = False
    """Whether items of the history may be ranked again, and count when they are taken again."""


@dataclass(frozen=True)
class PairBlock:
    """Prepared candidates of some examples; all that the point-wise scorer reads."""

    users: Tensor
    """(b, dim) float32."""
    past: Tensor
    """(b, l) int64 rows of the item vectors."""
    past_mask: Tensor
    """(b, l) bool."""
    candidates: Tensor
    """(b, c) int64."""
    features: Tensor
    """(b, c, f) float32."""
    user_features: Tensor
    """(b, g) float32."""
    label: Tensor
    """(b, c) float32: 1 = taken afterwards."""


def moments_of(examples: Examples) -> Iterator[tuple[int, IntArray]]:
    """(moment, example numbers in blocks of at most BLOCK_USERS), ascending."""
    order = np.argsort(examples.at, kind="stable")
    for moment in np.unique(examples.at).tolist():
        group = order[examples.at[order] == moment]
        for part in np.array_split(group, -(-len(group) // BLOCK_USERS)):
            yield moment, part


def tables_of(
    ranker: Ranker, evidence: Evidence, examples: Examples
) -> Iterator[tuple[Examples, ItemTable, UserTable]]:
    """Examples block by block, with users and items as the ranker sees them at that moment."""
    moment, table = None, None
    for at, part in moments_of(examples):
        if table is None:
            table = ranker.item_table(evidence.catalogue, evidence.activity.features(at))
        elif at != moment:
            table = ranker.at_another_time(table, evidence.activity.features(at))
        moment = at
        block = examples.take(part)
        yield block, table, ranker.user_table(prefixes(evidence.log, block), table)


def excluded_items(evidence: Evidence, block: Examples, device: torch.device) -> Tensor:
    """(b, n) bool: items that may not be ranked, which are those of the history or none."""
    size = (len(block.user), evidence.catalogue.num_items)
    if evidence.repeats:
        return torch.zeros(size, dtype=torch.bool, device=device)
    had = seen(evidence.log, block, size[1]).toarray() > 0
    return torch.from_numpy(had).to(device)


def wanted_items(evidence: Evidence, block: Examples, device: torch.device) -> Tensor:
    """(b, n) float32: 1 for items to be found, taken after the history."""
    num_items = evidence.catalogue.num_items
    after = targets(evidence.log, block, num_items, repeats=evidence.repeats)
    return torch.from_numpy(after.toarray()).to(device)


@dataclass(frozen=True)
class _Block:
    """What the retrieval head reads of a block of examples."""

    examples: Examples
    users: UserTable
    vectors: Tensor
    """(n, dim) float32 of the items, shared by all blocks."""
    popularity: Tensor
    """(n, f) float32, shared by the blocks of a moment."""
    basis: Tensor
    """(n, k) float32: `Ranker.prior_basis` of it."""


def _blocks_of(ranker: Ranker, evidence: Evidence, examples: Examples) -> Iterator[_Block]:
    """Without the rest of the item tables: kept for every moment, they would be gigabytes."""
    popularity, basis = None, None
    for part, items, users in tables_of(ranker, evidence, examples):
        if basis is None or items.popularity is not popularity:
            popularity, basis = items.popularity, ranker.prior_basis(items.popularity).detach()
        yield _Block(part, users, items.vectors, items.popularity, basis)


def fit_retrieval_head(
    ranker: Ranker,
    evidence: Evidence,
    examples: Examples,
    *,
    epochs: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> float:
    """Full softmax over the unseen catalogue; returns the last mean loss."""
    if len(examples.user) == 0:
        return 0.0
    head, device = ranker.retrieval_head, ranker.device
    rows = torch.cat(
        [torch.from_numpy(evidence.activity.features(int(t))) for t in np.unique(examples.at)]
    )
    head.spread.copy_(rows.std(dim=0, correction=0).clamp(min=1e-2))
    blocks = list(_blocks_of(ranker, evidence, examples))
    optimizer = torch.optim.Adam(head.parameters(), lr=learning_rate)
    losses = [0.0]
    for _ in range(epochs):
        losses = []
        for index in rng.permutation(len(blocks)):
            block = blocks[index]
            items = head.items(block.vectors, block.basis, block.popularity)
            users = head.users(block.users.vectors, block.users.gates, block.users.lengths)
            # Made anew in each pass: kept for all blocks, they would be (examples x items) cells.
            logits = users @ items.T
            logits = logits.masked_fill(excluded_items(evidence, block.examples, device), -1e9)
            loss = softmax_loss(logits, wanted_items(evidence, block.examples, device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
    return float(np.mean(losses))


@torch.no_grad()
def prepare_blocks(
    ranker: Ranker,
    evidence: Evidence,
    examples: Examples,
    *,
    depth: int,
    rng: np.random.Generator | None = None,
) -> list[PairBlock]:
    """Candidates as the nightly run would retrieve them, with features and labels.

    With `rng`, some of them by chance: see `propose`.
    """
    blocks = []
    for part, items, users in tables_of(ranker, evidence, examples):
        excluded = excluded_items(evidence, part, ranker.device)
        candidates = propose(users, items, excluded, depth=depth, repeats=evidence.repeats, rng=rng)
        blocks.append(
            PairBlock(
                users=users.vectors,
                past=users.batch.item,
                past_mask=users.batch.mask,
                candidates=candidates,
                features=pair_features(users, items, candidates),
                user_features=user_features(users, items),
                label=wanted_items(evidence, part, ranker.device).gather(1, candidates),
            )
        )
    return blocks


def score_block(ranker: Ranker, block: PairBlock, vectors: Tensor) -> Tensor:
    """(b, c) raw scores; vectors (n, dim)."""
    scores: Tensor = ranker.pair_scorer(
        block.users,
        vectors[block.candidates],
        vectors[block.past],
        block.past_mask,
        block.features,
    )
    return scores


def fit_scorer(
    ranker: Ranker,
    blocks: list[PairBlock],
    vectors: Tensor,
    *,
    loss_name: str,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    rng: np.random.Generator,
) -> float:
    """Teach the point-wise scorer the order of candidates; returns the last mean loss."""
    if not blocks:
        return 0.0
    scorer = ranker.pair_scorer
    scorer.standardise_as(torch.cat([b.features.reshape(-1, len(PAIR_FEATURES)) for b in blocks]))
    optimizer = torch.optim.AdamW(
        scorer.head.parameters(), lr=learning_rate, weight_decay=weight_decay
    )
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, epochs * len(blocks))
    scorer.train()
    losses: list[float] = []
    for _ in range(epochs):
        losses = []
        for index in rng.permutation(len(blocks)):
            block = blocks[index]
            raw = score_block(ranker, block, vectors)
            loss = LOSSES[loss_name](raw, block.label)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            decay.step()
            losses.append(float(loss.detach()))
    scorer.eval()
    return float(np.mean(losses))
