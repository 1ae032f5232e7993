"""The page is one HTML file that needs no network."""

import argparse
import os

from flows.commands import Answer, add_as_of, add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank report`."""
    add_config(parser)
    add_as_of(parser, "date of the report (default: the current one)")


def run(options: argparse.Namespace) -> Answer:
    """Name the file."""
    from pwrank.config_file import load_config
    from pwrank.errors import LakeError
    from pwrank.publication import read_current
    from pwrank.report.night import report_path
    from pwrank.store import Store

    store = Store(load_config(options.config, os.environ).lake).check_version()
    as_of = options.as_of or (read_current(store) or {}).get("as_of")
    if as_of is None:
        raise LakeError(f"nothing is published in {store.lake}; `pwrank run` publishes")
    path = report_path(store, as_of)
    if not path.exists():
        raise LakeError(f"no report for {as_of}; `pwrank run --as-of {as_of}` writes it")
    return Answer(str(path), {"as_of": as_of, "report": str(path)})
