"""Catalogue and histories of a night, of the share of its rows that a plan has read.

What the night would refuse is refused here by its own rules: all of it where everything was read,
else only what no other row could mend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from pwrank.datasets import DatasetRef
from pwrank.errors import SourceError
from pwrank.landing.drops import Drop, read_drops
from pwrank.landing.refusing import refuse_empty_table
from pwrank.planning.incoming import Landed, ids_of
from pwrank.run import Run
from pwrank.sources import Table, list_files
from pwrank.store import Store
from pwrank.views.catalogue import (
    build_catalogue,
    catalogue_rows,
    check_template,
    known_before,
    no_usable_items,
    refuse_contradictions,
    refuse_useless,
)
from pwrank.views.cleaning import before_cut, clean_shard, drop_rare_items
from pwrank.views.histories import build_histories

BEGINNING = 50_000
"""Rows of a landed file that tell whether anything of it is kept."""


def refuse_empty_tables(run: Run, landed: Mapping[Table, Landed]) -> None:
    """Raise SourceError for a table of which no row was ever read."""
    names: dict[Table, list[str]] = {}
    for file in list_files(run.config.source):
        names.setdefault(file.table, []).append(file.name)
    for table, files in names.items():
        before = sum(drop.rows_in for drop in read_drops(run.store, table))
        if landed[table].whole:
            refuse_empty_table(table, files, before + landed[table].rows_in)


def share_catalogue(
    run: Run, scratch: Store, old: Sequence[Drop], landed: Landed
) -> DatasetRef | None:
    """The catalogue of the share; None where nothing of it is known before the cut.

    Raises SourceError for rows that contradict each other, and for a share that is all there is
    and of no use, unless the night repeats a date that was published without it.
    """
    check_template(run.config.encoder.text_template, run.config)
    drops = _with_files(landed.drops)
    if not drops:
        return None
    try:
        return build_catalogue(scratch, drops, run.config, as_of=run.as_of, cut=run.cut)
    except SourceError:
        if _takes_all(run):
            if landed.whole and not old:
                raise
            rows = _known_rows(run, scratch, drops)
            refuse_contradictions(rows, run.config.clean.duplicate_items)
        return None


def night_items(
    run: Run, scratch: Store, old: Sequence[Drop], landed: Landed, new: DatasetRef | None
) -> pl.DataFrame:
    """The items that the night will know, of landed drops and of the share of the new ones.

    Returns item_id, content_hash, text, available, and new (bool): of the share. Raises SourceError
    where none of them can be ranked.
    """
    columns = ("item_id", "content_hash", "text", "available")
    frames = []
    if new:
        frame = pl.read_parquet(new.file_paths(scratch.lake), columns=list(columns))
        frames.append(frame.with_columns(new=pl.lit(value=True)))
    if known := _with_files(old):
        rows, config = _known_rows(run, run.store, known), run.config
        frame = catalogue_rows(rows, config.clean, config.encoder.text_template)
        frames.append(frame.select(*columns).with_columns(new=pl.lit(value=False)))
    if not frames:
        kinds = (ids_of(run).item.dtype, pl.String(), pl.String(), pl.Boolean())
        schema = dict(zip(columns, kinds, strict=True)) | {"new": pl.Boolean()}
        frames.append(pl.DataFrame(schema=schema))
    items = pl.concat(frames).unique("item_id", keep="first", maintain_order=True)
    if landed.whole and _takes_all(run):
        if not (known or _with_files(landed.drops)):
            raise no_usable_items()
        refuse_useless(items, run.as_of)
    return items


def share_histories(
    run: Run, scratch: Store, landed: Mapping[Table, Landed], known_items: pl.Series
) -> DatasetRef | None:
    """The histories of the share; None where nothing of it is left."""
    drops = _with_files(landed["interactions"].drops)
    if not drops:
        return None
    try:
        return _histories(run, scratch, drops, landed["users"].drops, known_items)
    except SourceError:
        return None


def refuse_no_histories(
    run: Run,
    scratch: Store,
    old: Sequence[Drop],
    landed: Mapping[Table, Landed],
    known_items: pl.Series,
) -> None:
    """Raise SourceError, as building them would, where neither old nor new drops have a history.

    They are built only where no beginning of a landed file has anything that `[clean]` keeps.
    """
    if not (all(table.whole for table in landed.values()) and _takes_all(run)):
        return
    there = [_at_home(run.store, drop) for drop in old]
    names = [name for drop in reversed(there) for name in drop.files]
    if not any(_keeps_any(run, name, known_items) for name in names):
        drops = [*there, *_with_files(landed["interactions"].drops)]
        _histories(run, scratch, drops, landed["users"].drops, known_items)


def _keeps_any(run: Run, name: str, known_items: pl.Series) -> bool:
    """Whether `[clean]` keeps any of the first rows of a landed file that lie before the cut."""
    rows = before_cut(pl.scan_parquet(name), run.cut).head(BEGINNING).collect()
    kept, _ = clean_shard(rows, run.config.clean, known_items)
    if (minimum := run.config.clean.min_item_interactions) > 1:
        totals = kept.group_by("item_id").len()
        kept, _ = drop_rare_items(kept, totals, minimum)
    return not kept.is_empty()


def _histories(
    run: Run,
    scratch: Store,
    drops: Sequence[Drop],
    listed: Sequence[Drop],
    known_items: pl.Series,
) -> DatasetRef:
    return build_histories(
        scratch,
        drops,
        listed,
        run.config,
        known_items=known_items,
        as_of=run.as_of,
        cut=run.cut,
        catalogue_key="",
    )


def _takes_all(run: Run) -> bool:
    """Whether the night sees what it lands; one that repeats a published date does not."""
    return run.known_at >= run.now


def _with_files(drops: Iterable[Drop]) -> list[Drop]:
    return [drop for drop in drops if drop.files]


def _at_home(store: Store, drop: Drop) -> Drop:
    """The drop with absolute names of its files, to be read from any lake."""
    return replace(drop, files=tuple(str(store.lake / name) for name in drop.files))


def _known_rows(run: Run, store: Store, drops: Sequence[Drop]) -> pl.DataFrame:
    """ITEMS rows before the cut."""
    files = [store.lake / name for drop in drops for name in drop.files]
    return pl.scan_parquet(files).filter(known_before(run.cut)).collect()
