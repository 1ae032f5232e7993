"""Reads the first rows of each table and shows how they are understood; writes nothing."""

import argparse
import os

from flows.commands import Answer, add_config


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
        lines += [f"  e.g. {table.example}"] if table.example else []
    lines.append(f"next: pwrank run --config {options.config}")
    return Answer("\n".join(lines), [table.__dict__ for table in found])
