"""On the full catalogue, with bootstrap intervals over users, next to popularity.

With --holdout the report of the date then shows these figures, and names the file.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands import Answer, add_as_of, add_config

if TYPE_CHECKING:
    from pwrank.config import Config
    from pwrank.published_refs import NightRefs
    from pwrank.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank evaluate`."""
    from pwrank.evaluation.figures import SLICES

    add_config(parser)
    add_as_of(parser, "published date to judge (default: the current one)")
    judged_by = parser.add_mutually_exclusive_group(required=True)
    judged_by.add_argument(
        "--holdout",
        type=Path,
        metavar="FILE",
        help="csv, tsv, parquet or jsonl with the interactions that came later",
    )
    judged_by.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help="the same with ratings: judges the heads `like` and `rating` pair by pair",
    )
    parser.add_argument(
        "--slices",
        nargs="+",
        choices=tuple(SLICES),
        metavar="NAME",
        help=f"slices to tell: {', '.join(SLICES)} (default: all of them)",
    )


def run(options: argparse.Namespace) -> Answer:
    """Judge the published lists, or the heads."""
    from flows.console import published_night, stage_lines
    from pwrank.config_file import load_config
    from pwrank.evaluation.figures import SLICES
    from pwrank.evaluation.judging import judge
    from pwrank.report.night import rewrite_night_report
    from pwrank.store import Store
    from pwrank.writable import check_writable
    from tasks.progress import note_start

    config = load_config(options.config, os.environ)
    store = Store(config.lake).check_version()
    publication, night = published_night(store, options.as_of)
    if options.pairs is not None:
        return _judge_ratings(store, config, night, options.pairs)
    check_writable(store)
    with stage_lines():
        note_start("evaluate")
        evaluation = judge(store, config, publication, night, options.holdout)
    judged_by = {"judged_by": options.holdout.name}
    told = evaluation.to_json() | judged_by
    report = rewrite_night_report(store, config, publication, night, told)
    slices = SLICES if options.slices is None else options.slices
    text = f"{evaluation.table(slices)}\nthe report now shows this: {report}"
    return Answer(text, evaluation.to_json(slices) | judged_by)


def _judge_ratings(store: "Store", config: "Config", night: "NightRefs", pairs: Path) -> Answer:
    from flows.console import watched
    from pwrank.evaluation.rated_pairs import judge_ratings, ratings_table

    with watched("score", "pairs") as progress:
        figures = judge_ratings(store, config, night, pairs, progress=progress)
    return Answer(ratings_table(figures), figures)
