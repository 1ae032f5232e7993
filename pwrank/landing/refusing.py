"""What a source file is refused for: what setting its rows aside one by one would hide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from pwrank.config import CleanConfig, SourceConfig
from pwrank.datasets import NO_TIME
from pwrank.errors import SourceError
from pwrank.landing.drops import Pending
from pwrank.landing.suppression import FORGOTTEN
from pwrank.landing.timestamps import DAYS_OF_A_SPREADSHEET
from pwrank.sources import RawBatch, Table
from pwrank.sources.lines import UNDECODABLE, WRONG_WIDTH

SPREADSHEET_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
NO_USER = "user_id is missing"
FEWEST_TORN, TORN_SHARE = 10, 0.01
"""Lines that cannot be decoded from which on, and share of all, a file may be of another encoding;
fewer are damage."""


def mixed_times(without: Path | str, with_times: Path | str) -> SourceError:
    """The error about two files of which one has times and the other has none."""
    return SourceError(
        f"{without}: no timestamps, while {with_times} has them; mend the file, or set "
        'source.columns.timestamp = "" to do without them in all files'
    )


def refuse_other_encoding(batch: RawBatch, path: Path, source: SourceConfig) -> None:
    """Raise SourceError where most lines beyond ASCII cannot be decoded: all are written otherwise.

    Set aside one by one, what has an accent in its title would be missing, and no gate would know.
    """
    torn = int((batch.rejects["reason"] == UNDECODABLE).sum())
    if torn < max(FEWEST_TORN, TORN_SHARE * (batch.rows.height + batch.rejects.height)):
        return
    texts = batch.rows.select(pl.any_horizontal(pl.col(pl.String).str.contains(r"[^\x00-\x7F]")))
    decoded = int(texts.to_series().sum()) if texts.width else 0
    if torn > decoded:
        raise SourceError(
            f"{path}: {torn:,} lines cannot be decoded as {source.encoding}, and {decoded:,} "
            'beyond ASCII can; set source.encoding, for example to "latin-1" or "cp1252"'
        )


def refuse_emptied(pending: Pending, rows_in: int) -> None:
    """Raise SourceError for a file that had rows and has none: a drop may be empty, not become so.

    The rows would be gone from every history.
    """
    before = pending.replaces.rows_in if pending.replaces else 0
    if before and not rows_in:
        raise SourceError(
            f"{pending.file.path}: no rows, where it had {before:,}; "
            "mend the export, or remove the file to keep them"
        )


def refuse_empty_table(table: Table, files: Sequence[str], rows_in: int) -> None:
    """Raise SourceError if the files of a table, of these names, have no row between them.

    A table of users may be empty: it only adds to those whom the interactions name.
    """
    if rows_in == 0 and table != "users":
        which = (
            files[0] if len(files) == 1 else f"any of {len(files):,} files, {files[-1]} the last"
        )
        raise SourceError(f"{table}: no rows in {which}; mend the export or set [source] {table}")


def refuse_days_of_a_spreadsheet(
    path: Path, moments: Sequence[datetime], source: SourceConfig
) -> None:
    """Raise SourceError where every moment is what a serial of a spreadsheet becomes as seconds.

    All rows would lie on one day in 1970, before every cut. Who says the unit is believed.
    """
    low, high = DAYS_OF_A_SPREADSHEET
    if moments and source.timestamp_unit == "auto" and low <= min(moments) <= max(moments) <= high:
        serial = (min(moments) - NO_TIME).total_seconds()
        day = SPREADSHEET_EPOCH + timedelta(days=serial)
        raise SourceError(
            f"{path}: all timestamps lie on 1970-01-01, as do days counted by a spreadsheet "
            f"({serial:g} is {day:%Y-%m-%d %H:%M} there); write them as dates such as 2026-01-01 "
            '12:00, or set source.timestamp_unit = "seconds" if they are seconds'
        )


SETTINGS_BEHIND = {
    UNDECODABLE: "source.encoding",
    WRONG_WIDTH: "source.separator and the names in [source.header]",
}
OTHER_SETTINGS = "[source.columns], source.timestamp_format and source.timestamp_unit"


def asked_for(clean: CleanConfig) -> frozenset[str]:
    """Reasons of rejects that are as they should be: declared rules, and forgotten users."""
    return frozenset({FORGOTTEN, *(rule.reason for rule in clean.reject)})


def refuse_bad_file(
    path: Path,
    rows_in: int,
    rejected: Mapping[str, int],
    clean: CleanConfig,
    *,
    whole: bool = True,
) -> None:
    """Raise SourceError for a file that is mostly unusable.

    Rows that were asked to be set aside are not bad, nor are those of anonymous visitors, who can
    be most of a day. A file of no rows is that of a quiet day. whole: false where these are its
    first rows, and others may outweigh them.
    """
    max_bad_share = clean.max_bad_share
    harmless = {NO_USER, *asked_for(clean)}
    wrong = Counter({r: n for r, n in rejected.items() if r not in harmless})
    bad = wrong.total()
    if bad > max_bad_share * rows_in:
        reason, count = wrong.most_common(1)[0]
        settings = SETTINGS_BEHIND.get(reason, OTHER_SETTINGS)
        rows = f"{rows_in:,} rows" if whole else f"the first {rows_in:,} rows (of all in a run)"
        raise SourceError(
            f"{path}: {bad:,} of {rows} are unusable, most of them because "
            f"“{reason}” ({count:,}); check {settings}, "
            f"or raise [clean] max_bad_share (now {max_bad_share})"
        )
