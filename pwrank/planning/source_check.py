"""A look at the data before anything runs: how the first rows of each file are understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import polars as pl

from pwrank.config import Config
from pwrank.datasets import IdTypes
from pwrank.errors import SourceError
from pwrank.landing.drops import Pending, pending_files, read_drops
from pwrank.landing.land import lake_id_types, parse_key
from pwrank.landing.parsing import PARSERS, PLACEHOLDER
from pwrank.landing.refusing import (
    mixed_times,
    refuse_bad_file,
    refuse_days_of_a_spreadsheet,
    refuse_emptied,
    refuse_empty_table,
)
from pwrank.landing.suppression import read_suppression
from pwrank.planning.source_sample import (
    Sample,
    embedded_text,
    read_sample,
    span_of,
    zeros_beside_ratings,
)
from pwrank.planning.table_check import FileCheck, TableCheck
from pwrank.run import cut_of
from pwrank.sources import LINE_COLUMN, SourceFile, Table, column_roles, list_files
from pwrank.sources.columns import header_of
from pwrank.sources.delimited import column_names
from pwrank.store import Store
from pwrank.views.catalogue import (
    catalogue_rows,
    check_template,
    known_before,
    no_usable_items,
    refuse_useless,
)
from pwrank.views.file_order import OrderEvidence, by_chance
from pwrank.views.histories import only_strangers

FILE_ROWS = 10_000
"""Looked at of a file, at most."""

MOST_FILES = 500
"""Of a table, the newest: some 2 to 4 seconds of work."""

TABLE_ROWS = 1_000_000
"""Of so many files together, about."""

SAME_WITHOUT_TIME = ("user_id", "item_id", "event", "rating", "weight")


@dataclass(frozen=True)
class _Source:
    """What the tables of a source have in common."""

    config: Config
    files: tuple[SourceFile, ...]
    as_of: date
    read: Callable[[SourceFile, int], Sample]
    """The first rows of a file, so many at most."""

    @property
    def store(self) -> Store:
        return Store(self.config.lake)

    def of_table(self, table: Table) -> list[SourceFile]:
        return [file for file in self.files if file.table == table]


def check_source(config: Config, *, as_of: date, now: datetime) -> list[TableCheck]:
    """Look at the first rows of every file and ask ingest's own rules about them.

    as_of: the date that would be run, now. Raises SourceError where there are no files or their
    ids cannot be told, and ConfigError; what else a run will refuse stands in the answer.
    """
    store, files = Store(config.lake), list_files(config.source)
    drops = [drop for table in PARSERS for drop in read_drops(store, table)]
    try:
        ids, unreadable = lake_id_types(store, drops, files, config.source), None
    except SourceError as error:  # most likely of one file, which tells it itself below
        ids, unreadable = IdTypes(), error
    suppression = read_suppression(store)

    def read(file: SourceFile, rows: int) -> Sample:
        return read_sample(file, config, ids=ids, suppression=suppression, now=now, most_rows=rows)

    source = _Source(config, tuple(files), as_of, read)
    looked_at = [_check_table(source, table) for table in PARSERS if source.of_table(table)]
    samples = {check.table: found for check, found in looked_at}
    if unreadable and not any(check.refusals for check, _ in looked_at):
        raise unreadable
    return [_beside_catalogue(source, check, samples) for check, _ in looked_at]


def _check_table(source: _Source, table: Table) -> tuple[TableCheck, list[Sample]]:
    files, config = source.of_table(table), source.config
    looked_at = files[-MOST_FILES:]
    drops, rules = read_drops(source.store, table), parse_key(config, table)
    waiting = {p.file.name: p for p in pending_files(files, drops, rules, read=False)}
    most_rows = min(FILE_ROWS, TABLE_ROWS // len(looked_at))
    checked, samples = list[FileCheck](), list[Sample]()
    for file in looked_at:
        check, sample = _check_file(source, file, waiting.get(file.name), most_rows)
        checked.append(check)
        samples += [sample] if sample else []
    refusals = [check.refusal for check in checked if check.refusal]
    if not refusals:
        refusals = list(_of_all(source, table, samples, waiting))
    rejected = Counter[str]()
    for check in checked:
        rejected.update({told.reason: told.rows for told in check.rejected})
    with_rows = [sample for sample in samples if sample.rows_in]
    newest = next(reversed(with_rows or samples), None)
    interactions = samples if table == "interactions" else []
    has_times = table != "interactions" or newest is None or _names_times(newest, config)
    told = TableCheck(
        table=table,
        files=len(files),
        rows=sum(check.rows for check in checked),
        usable=sum(check.usable for check in checked),
        rejected=dict(rejected),
        example=newest.example() if newest else {},
        text=embedded_text(newest, config) if newest and table == "items" else "",
        span=span_of(interactions) if interactions else None,
        zero_ratings=zeros_beside_ratings(interactions) if interactions else 0,
        unused=_unused(newest, source) if newest else (),
        idle_rules=tuple(
            rule.reason
            for rule in config.clean.reject
            if rule.table == table and rule.reason not in rejected
        ),
        has_times=has_times,
        by_chance="" if has_times else _by_chance(samples, config),
        repeats=0 if has_times else _repeats(samples, config),
        unknown_items=None,
        checked=tuple(checked),
        refusals=tuple(dict.fromkeys(refusals)),
    )
    return told, samples


def _beside_catalogue(
    source: _Source, check: TableCheck, samples: Mapping[Table, Sequence[Sample]]
) -> TableCheck:
    """Interactions counted by whether the catalogue has their items."""
    items = samples.get("items", ())
    told_of = check.table == "interactions" and check.usable and items
    if not told_of or not _all_items(source, items):
        return check
    known = pl.concat([sample.rows["item_id"] for sample in items]).unique(maintain_order=True)
    taken = pl.concat([sample.rows["item_id"] for sample in samples["interactions"]])
    unknown = taken.filter(~taken.is_in(known.implode()))
    check = replace(check, unknown_items=len(unknown))
    landed = any(drop.files for drop in read_drops(source.store, "interactions"))
    whole = len(check.checked) == check.files and all(file.whole for file in check.checked)
    if len(unknown) < len(taken) or landed or not whole or not len(known):
        return check
    return replace(check, refusals=(*check.refusals, str(only_strangers(unknown, known))))


def _check_file(
    source: _Source, file: SourceFile, pending: Pending | None, most_rows: int
) -> tuple[FileCheck, Sample | None]:
    """pending: where a run will read the file; what it has read it takes as it is."""
    sample, refusal = None, None
    try:
        sample = source.read(file, most_rows)
        if pending:
            _refuse_file(pending, sample, source.config)
    except SourceError as error:
        refusal = str(error) if pending else None
    if sample is None:
        return FileCheck(file.name, 0, 0, whole=False, rejected=(), refusal=refusal), None
    check = FileCheck(
        file=file.name,
        rows=sample.rows_in,
        usable=sample.rows.height,
        whole=sample.whole,
        rejected=sample.rejected(),
        refusal=refusal,
    )
    return check, sample


def _refuse_file(pending: Pending, sample: Sample, config: Config) -> None:
    refuse_emptied(pending, sample.rows_in)
    rejected = {told.reason: told.rows for told in sample.rejected()}
    rows, whole = sample.rows_in, sample.whole
    refuse_bad_file(pending.file.path, rows, rejected, config.clean, whole=whole)
    if pending.file.table == "interactions":
        at = pl.col("occurred_at")
        ends = sample.rows.select(at.min(), at.max().alias("latest")).drop_nulls()
        moments = [moment for row in ends.iter_rows() for moment in row]
        refuse_days_of_a_spreadsheet(pending.file.path, moments, config.source)


def _of_all(
    source: _Source, table: Table, samples: Sequence[Sample], waiting: Mapping[str, Pending]
) -> Iterator[str]:
    """Why a run will refuse files of a table that may each be good."""
    try:
        names = [file.name for file in source.of_table(table)]
        if len(samples) == len(names):
            before = sum(drop.rows_in for drop in read_drops(source.store, table))
            refuse_empty_table(table, names, before + sum(each.rows_in for each in samples))
        if table == "interactions":
            _refuse_mixed_times(samples, waiting)
        if table == "items":
            _refuse_catalogue(source, samples)
    except SourceError as error:
        yield str(error)


def _refuse_mixed_times(samples: Sequence[Sample], waiting: Mapping[str, Pending]) -> None:
    """Each waiting file beside the one before it, the first beside what was landed: as landing."""
    with_rows = [sample for sample in samples if sample.rows.height]
    landed = [sample for sample in with_rows if sample.file.name not in waiting]
    beside = next(reversed(landed), None)
    for sample in with_rows:
        if sample.file.name not in waiting:
            continue
        if beside and beside.has_times and not sample.has_times:
            raise mixed_times(sample.file.path, beside.file.name)
        if beside and sample.has_times and not beside.has_times and beside.file.name in waiting:
            raise mixed_times(beside.file.name, sample.file.path)
        beside = sample


def _refuse_catalogue(source: _Source, samples: Sequence[Sample]) -> None:
    """All of it where all rows were looked at; else only rows that contradict each other."""
    config, template = source.config, source.config.encoder.text_template
    check_template(template, config)
    cut = cut_of(source.as_of, config.time_zone)
    rows = pl.concat([sample.rows for sample in samples])
    catalogue = catalogue_rows(rows.filter(known_before(cut)), config.clean, template)
    if _all_items(source, samples):
        if rows.is_empty():
            raise no_usable_items()
        refuse_useless(catalogue, source.as_of)


def _all_items(source: _Source, samples: Sequence[Sample]) -> bool:
    """Whether these are all rows of items that a run would know."""
    here = {sample.file.name for sample in samples if sample.whole}
    files = {file.name for file in source.of_table("items")}
    landed = (drop for drop in read_drops(source.store, "items") if drop.files)
    return here == files | {drop.source_file for drop in landed}


def _names_times(sample: Sample, config: Config) -> bool:
    return "timestamp" in column_roles(sample.columns, sample.file, config.source)


def _by_chance(samples: Sequence[Sample], config: Config) -> str:
    return by_chance(OrderEvidence.of(*(sample.rows for sample in samples)), config.clean)


def _repeats(samples: Sequence[Sample], config: Config) -> int:
    if config.clean.repeated != "keep":
        return 0
    rows = pl.concat([sample.rows.select(SAME_WITHOUT_TIME) for sample in samples])
    return rows.height - rows.n_unique()


def _unused(sample: Sample, source: _Source) -> tuple[str, ...]:
    """Columns that nothing names, in any of the tables that are read from this file."""
    config, file, used = source.config, sample.file, {LINE_COLUMN}
    told = header_of(file.table, config.source)
    used |= {name for name, given in zip(column_names(told, file), told, strict=True) if not given}
    alike = {other.table for other in source.files if other.path == file.path}
    for table in (table for table in alike if header_of(table, config.source) == told):
        as_table = replace(file, table=table)
        used |= set(column_roles(sample.columns, as_table, config.source).values())
        used |= {rule.column for rule in config.clean.reject if rule.table == table}
        if table == "items":
            used |= set(PLACEHOLDER.findall(config.encoder.text_template))
    return tuple(name for name in sample.columns if name not in used)
