"""Why lists changed: a sample scored again with one factor of the later date at a time.

Scored by the very stages of a night, in a scratch lake whose data are links to the real one's: the
index of each mixture is built anew, since item vectors follow from data, catalogue and model. A
factor whose part of either date is gone is named, and told by nobody.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from pwrank.comparison.published import Change, change, first_ranks
from pwrank.config import Config
from pwrank.datasets import HISTORIES, USERS, DatasetRef, IdTypes
from pwrank.errors import LakeError
from pwrank.horizon import SEEN_UNTIL
from pwrank.published_refs import NightRefs
from pwrank.ranker.model_inputs import history_paths
from pwrank.run import Run
from pwrank.store import Progress, Store, write_dataset

LINKED = ("histories", "catalogue", "embeddings", "models")
"""Datasets that the stages read; what they write stays in the scratch lake."""

ROLES = ("histories", "catalogue", "embeddings", "model")
FACTORS: Mapping[str, tuple[str, ...]] = {
    "data": ("histories", "as_of"),
    "catalogue": ("catalogue", "embeddings"),
    "model": ("model",),
    "index": ("index",),
    "rules": ("score", "rerank"),
}
"""What is swapped together: datasets, configuration sections, and the date itself."""

Recipe = Mapping[str, Any]
"""What a list is made from: a ref for each of ROLES, `as_of`, and the sections that matter."""


@dataclass(frozen=True)
class Stages:
    """The stages `index` and `score`, which whoever calls knows and this module must not."""

    index: Callable[..., DatasetRef]
    score: Callable[..., Any]


@dataclass(frozen=True)
class Factor:
    """What one factor does to the lists of the earlier date."""

    name: str
    changed: bool
    effect: Change | None = None
    """None where the factor is the same on both dates, or cannot be told."""
    gone: str = ""
    """What is no longer in the lake; '' if all is there."""


@dataclass(frozen=True)
class Attribution:
    """The factors, each alone, and all at once."""

    factors: tuple[Factor, ...]
    together: Change
    reproduced: Mapping[str, Change]
    """Lists of the sample, published against scored again, by date: all 1 unless code or machine
    changed since, or somebody was forgotten whose rows the night's index had counted."""


def attribute(
    store: Store,
    publications: tuple[Mapping[str, Any], Mapping[str, Any]],
    published: tuple[pl.LazyFrame, pl.LazyFrame],
    users: pl.Series,
    *,
    config: Config,
    stages: Stages,
    scratch: Path,
    progress: Progress | None = None,
) -> Attribution | str:
    """Score the lists of some users again, one factor of the later publication at a time.

    config: for what manifests keep to themselves (the source). scratch: an empty folder. Returns
    what is missing where nothing can be scored.
    """
    (before, gone_before), (after, gone_after) = (
        recipe_of(store, told, config, scratch) for told in publications
    )
    gone = gone_before | gone_after
    if lost := [role for role in ROLES if role in gone_before and role in gone_after]:
        return f"{', '.join(gone[role] for role in lost)}; nothing can be scored again"
    # Of what one date has lost, the other's stands in on both sides, and its factor is not told.
    before, after = ({**two, **one} for one, two in ((before, after), (after, before)))
    bench = Bench(store, stages, users, scratch)
    base = bench.lists(before)
    told = list(_factors(before, after, gone))
    factors = []
    for name, keys, lost_part in told:
        changed = any(_differ(before[key], after[key]) for key in keys)
        mixed = {**before, **{key: after[key] for key in keys}}
        effect = change(base, bench.lists(mixed)) if changed and not lost_part else None
        factors.append(Factor(name, changed or bool(lost_part), effect, lost_part))
        if progress:
            progress(1)
    end = bench.lists(after)
    lists = [first_ranks(one, users) for one in published]
    reproduced = {
        str(one["as_of"]): change(old, new)
        for one, old, new in zip(publications, lists, (base, end), strict=True)
    }
    return Attribution(tuple(factors), change(base, end), {} if gone else reproduced)


def _factors(
    before: Recipe, after: Recipe, gone: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Name, keys, and what of them is gone. Another encoder's vectors need their own model."""
    encoders = {recipe["embeddings"].figures["encoder"] for recipe in (before, after)}
    factors = dict(FACTORS)
    if len(encoders) > 1:
        factors["catalogue"] += factors.pop("model")
        factors = {{"catalogue": "encoder and model"}.get(n, n): k for n, k in factors.items()}
    for name, keys in factors.items():
        yield name, keys, ", ".join(gone[key] for key in keys if key in gone)


def _differ(one: Any, other: Any) -> bool:
    if isinstance(one, DatasetRef):
        return bool(one.key != other.key)
    return bool(one != other)


def _undated(ref: DatasetRef) -> DatasetRef:
    """Without the proof that it saw no future: a mixed recipe has that of the later date."""
    return replace(ref, figures={k: v for k, v in ref.figures.items() if k != SEEN_UNTIL})


def recipe_of(
    store: Store, publication: Mapping[str, Any], config: Config, scratch: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a publication was made from, and by role what of it is no longer in the lake."""
    as_of = date.fromisoformat(publication["as_of"])
    try:
        told = {**publication["config"], "source": config.source.model_dump(), "lake": scratch}
        then = Config.model_validate(told)
    except ValidationError:
        raise LakeError(
            f"{as_of}: was published with settings that this version does not know; "
            f"`pwrank run --as-of {as_of}` makes the date again"
        ) from None
    found: dict[str, Any] = {"as_of": as_of, "run": (then, publication["known_at"])}
    gone = {}
    for role in ROLES:
        known = publication["inputs"][role]
        made = date.fromisoformat(known["as_of"])
        complete = role != "embeddings"  # their parts are merged as they grow in number
        ref = store.reuse(known["name"], made, known["key"], complete=complete)
        if ref is None:
            gone[role] = f"the {role} of {as_of} are no longer in the lake"
        else:
            found[role] = ref
    rules = then.score.model_copy(update={"shards": 1, "active_days": 0, "reasons": 0})
    return found | {"index": then.index, "score": rules, "rerank": then.rerank}, gone


class Bench:
    """A scratch lake in which some users are scored from any recipe."""

    def __init__(self, store: Store, stages: Stages, users: pl.Series, scratch: Path) -> None:
        self.stages, self.users = stages, users
        self.store = Store(scratch).open()
        self.ids = store.id_types() or IdTypes()
        self.store.set_id_types(self.ids)
        for name in LINKED:
            if (store.lake / name).is_dir():
                (scratch / name).symlink_to(store.lake / name, target_is_directory=True)

    def lists(self, recipe: Recipe) -> pl.DataFrame:
        """First ranks of the users, made from a recipe by the stages of a night."""
        then, known_at = recipe["run"]
        sections = {name: recipe[name] for name in ("index", "score", "rerank")}
        moment = datetime.fromisoformat(known_at)
        run = Run(then.model_copy(update=sections), recipe["as_of"], moment, moment)
        refs = {role: _undated(recipe[role]) for role in ROLES}
        index = self.stages.index(run, **refs)
        sample = self._sample(recipe["histories"])
        self.stages.score(run, NightRefs(**{**refs, "histories": sample}, index=index), shard=0)
        lists = first_ranks(pl.scan_parquet(self.store.lake / "staged" / "**" / "*.parquet"))
        shutil.rmtree(self.store.lake / "staged")
        return lists

    def _sample(self, histories: DatasetRef) -> DatasetRef:
        """The histories of the users alone, as a dataset of one shard."""
        folder = self.store.lake / "sample" / histories.key
        files = ("part-00000.parquet", "users-00000.parquet")
        ref = replace(histories, key=f"{histories.key}-sample", path=f"sample/{histories.key}")
        ref = replace(ref, files=files)
        if not folder.exists():
            folder.mkdir(parents=True)
            scan = pl.scan_parquet(history_paths(self.store, histories))
            theirs = scan.filter(pl.col("user_id").is_in(self.users.implode())).collect()
            theirs = theirs.sort("user_id", maintain_order=True)
            owed = self.users.unique().sort().to_frame("user_id")
            write_dataset(self.store, HISTORIES, theirs, folder / files[0], self.ids)
            write_dataset(self.store, USERS, owed, folder / files[1], self.ids)
        return ref
