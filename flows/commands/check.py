"""Reads the first rows of each table and shows how they are understood; writes nothing."""

import argparse
import os
from typing import TYPE_CHECKING

from flows.commands import Answer, add_config, plain

if TYPE_CHECKING:
    from pwrank.landing.source_check import TableCheck


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank check`."""
    add_config(parser)


def run(options: argparse.Namespace) -> Answer:
    """Check the configuration and a sample of the newest file of each table."""
    from pwrank.config_file import load_config
    from pwrank.landing.source_check import check_source
    from pwrank.store import Store

    config = load_config(options.config, os.environ)
    Store(config.lake).check_version()
    found = check_source(config)
    lines = [f"{options.config}: valid"]
    for table in found:
        lines.append(
            f"{table.table}: {table.files:,} files; of the first {table.rows:,} rows of "
            f"{table.sample_file}, {table.usable:,} are usable"
        )
        lines += [f"  {count:,} rejected: {reason}" for reason, count in table.rejected.items()]
        lines += _understood(table)
    lines.append(f"next: pwrank run --config {options.config}")
    return Answer("\n".join(lines), [table.__dict__ for table in found])


def _understood(table: "TableCheck") -> list[str]:
    """How the columns are read: a row, what is left aside, what is missing."""
    lines = []
    if table.example:
        row = (f"{name}={plain(str(value))}" for name, value in table.example.items())
        lines.append(f"  e.g. {', '.join(row)}")
    if table.unused:
        lines.append(f"  columns not used: {', '.join(plain(name) for name in table.unused)}")
    if not table.has_times:
        lines.append("  no timestamps: the order in the files is the order")
    if table.repeats:
        lines.append(
            f"  {table.repeats:,} rows equal an earlier one and are kept, since without times they "
            'may be events of their own; [clean] repeated = "merge" leaves each pair once'
        )
    return lines
