"""On the full catalogue, with bootstrap intervals over users, next to popularity."""

import argparse
import os
from pathlib import Path

from flows.commands import Answer, add_as_of, add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank evaluate`."""
    from pwrank.evaluation.figures import SLICES

    add_config(parser)
    add_as_of(parser, "published date to judge (default: the current one)")
    parser.add_argument(
        "--holdout",
        type=Path,
        required=True,
        metavar="FILE",
        help="csv, tsv, parquet or jsonl with the interactions that came later",
    )
    parser.add_argument(
        "--slices",
        nargs="+",
        choices=tuple(SLICES),
        metavar="NAME",
        help=f"slices to print: {', '.join(SLICES)} (default: all of them)",
    )


def run(options: argparse.Namespace) -> Answer:
    """Judge the published lists."""
    from flows.console import published_night
    from pwrank.config_file import load_config
    from pwrank.evaluation.judging import judge
    from pwrank.report.night import rewrite_night_report
    from pwrank.store import Store

    config = load_config(options.config, os.environ)
    store = Store(config.lake).check_version()
    publication, night = published_night(store, options.as_of)
    evaluation = judge(store, config, publication, night, options.holdout)
    report = rewrite_night_report(store, config, publication, night, evaluation.to_json())
    chosen = evaluation.table() if options.slices is None else evaluation.table(options.slices)
    return Answer(f"{chosen}\nreport: {report}", evaluation.to_json())
