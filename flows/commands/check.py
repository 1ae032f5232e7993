"""Reads the first rows of each file and shows how they are understood; writes nothing."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.commands import Answer, add_config, plain, today

if TYPE_CHECKING:
    from pwrank.config import EncoderConfig
    from pwrank.planning.table_check import FileCheck, TableCheck
    from pwrank.store import Store

TEXT_HINT = (
    "  (an item's text may hold more of them: "
    'under [encoder] text_template = "{title}. {category}. {text}. {COLUMN}")'
)

FILES_SHOWN = 10
"""Of a table; of more, those that have rejects, and the newest."""

TEXT_SHOWN = 300
"""Characters of a text."""

ROW_SHOWN = 160
"""Characters of an unusable row."""

REFUSALS_SHOWN = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank check`."""
    add_config(parser)


def run(options: argparse.Namespace) -> Answer:
    """Check the configuration and the first rows of each file."""
    from pwrank.config_file import load_config
    from pwrank.planning.source_check import check_source
    from pwrank.store import Store

    config = load_config(options.config, os.environ)
    store = Store(config.lake).check_version()
    found = check_source(config, as_of=today(config.time_zone), now=datetime.now(UTC))
    lines = [f"{options.config}: valid"]
    if (width := config.score.width) > config.score.candidates:
        lines.append(
            f"[score] candidates = {config.score.candidates} is below k = {width}: a list needs "
            f"as many, so {width} are found and scored for each user"
        )
    for table in found:
        lines += _told(table)
    data = [asdict(table) for table in found]
    around = [*_unwritable(store), *_no_encoder(config.encoder)]
    if around or any(table.refusals for table in found):
        return Answer("\n".join(lines), data, exit_code=2, error=_refused(around, found))
    lines.append(f"next: pwrank run --config {options.config}")
    return Answer("\n".join(lines), data)


def _unwritable(store: "Store") -> list[str]:
    from pwrank.errors import LakeError
    from pwrank.writable import check_writable

    try:
        check_writable(store)
    except LakeError as error:
        return [str(error)]
    return []


def _no_encoder(config: "EncoderConfig") -> list[str]:
    """Why texts could not be encoded; nothing is downloaded to find out."""
    from pwrank.encoder.files import find_encoder_files
    from pwrank.errors import ModelUnavailableError

    if config.allow_download:
        return []
    try:
        find_encoder_files(config)
    except ModelUnavailableError as error:
        return [str(error)]
    return []


def _refused(around: Sequence[str], tables: "Sequence[TableCheck]") -> str:
    """What is certain first; of a long file only its first rows are known to be bad."""
    open_yet = {file.refusal for table in tables for file in table.checked if file.may_be_better}
    refusals = [*around, *(refusal for table in tables for refusal in table.refusals)]
    refusals.sort(key=lambda refusal: refusal in open_yet)
    verb = "may" if refusals[0] in open_yet else "will"
    more = len(refusals) - REFUSALS_SHOWN
    lines = [f"run {verb} refuse: " + "\n".join(refusals[:REFUSALS_SHOWN])]
    lines += [f"and {more} more; --json tells all"] if more > 0 else []
    return "\n".join(lines)


def _told(table: "TableCheck") -> list[str]:
    """Its files, how the columns are read, what is left aside, what is missing."""
    lines = [f"{table.table}: {table.files:,} file{'s' if table.files > 1 else ''}"]
    shown = table.checked
    if len(shown) > FILES_SHOWN:
        bad = [file for file in shown if file.rejected or file.refusal][:FILES_SHOWN]
        shown = (*bad, *(file for file in shown[-1:] if file not in bad))
    for file in shown:
        lines += _file_lines(file)
    if len(shown) < len(table.checked):
        rows = table.rows - sum(file.rows for file in shown)
        usable = table.usable - sum(file.usable for file in shown)
        more = len(table.checked) - len(shown)
        lines.append(f"  and {more:,} more: {rows:,} rows looked at, {usable:,} usable")
    if len(table.checked) < table.files:
        older = table.files - len(table.checked)
        lines.append(f"  and {older:,} older files that were not looked at")
    lines += _reading_told(table)
    if table.idle_rules:
        lines.append(
            "  reject rules that set none of these rows aside: "
            f"{', '.join(plain(name) for name in table.idle_rules)}"
            " (`below` and `above` compare numbers only)"
        )
    if table.unknown_items:
        lines.append(
            f"  {table.unknown_items:,} of {table.usable:,} with an item that the catalogue lacks: "
            "they are never ranked"
        )
    return [*lines, *_order_told(table)]


def _reading_told(table: "TableCheck") -> list[str]:
    """How the columns are read, by an example."""
    lines = []
    if table.example:
        row = (f"{name}={plain(str(value))}" for name, value in table.example.items())
        lines.append(f"  e.g. {', '.join(row)}")
    if table.text:
        lines.append(f"  text embedded: {plain(table.text, TEXT_SHOWN)}")
    if table.span:
        first, last = (moment[:10] for moment in table.span)
        lines.append(f"  times of these rows: {first} to {last}")
    if table.zero_ratings:
        lines.append(
            f"  {table.zero_ratings:,} ratings are 0, all others 1 or more; if 0 means that none "
            "was given, set source.unrated = 0"
        )
    if table.unused:
        lines.append(f"  columns not used: {', '.join(plain(name) for name in table.unused)}")
        lines += [TEXT_HINT] if table.table == "items" else []
    return lines


def _order_told(table: "TableCheck") -> list[str]:
    """What the lack of timestamps means."""
    lines = []
    if table.by_chance:
        lines.append(
            f"  no timestamps, and no order: {table.by_chance}, so that it is read in one by "
            'chance; [clean] file_order = "trust" takes it for the order of events'
        )
    elif not table.has_times:
        lines.append("  no timestamps: the order in the files is the order")
    if table.repeats:
        lines.append(
            f"  {table.repeats:,} rows equal an earlier one and are kept, since without times they "
            'may be events of their own; [clean] repeated = "merge" leaves each pair once'
        )
    return lines


def _file_lines(file: "FileCheck") -> list[str]:
    first = "" if file.whole else "first "
    lines = [f"  {plain(file.file)}: {first}{file.rows:,} rows, {file.usable:,} usable"]
    if file.refusal and not file.rows:
        lines = [f"  {plain(file.file)}: not usable"]
    for each in file.rejected:
        # Of a row that may name somebody who was forgotten nothing is kept.
        row = f": {plain(each.raw, ROW_SHOWN)}" if each.raw != '""' else ""
        lines.append(f"    {each.rows:,} rejected: {each.reason}; e.g. line {each.line:,}{row}")
    return lines
