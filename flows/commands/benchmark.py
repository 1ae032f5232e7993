"""In a lake of its own beside yours; publishes nothing. Run again, it redoes only what changed."""

import argparse

from flows.commands import Answer, a_count, add_as_of, add_config
from flows.console import check_before, stage_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank benchmark`."""
    add_config(parser)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--holdout-days",
        type=a_count,
        metavar="N",
        help="hold out the last N days, from a midnight on: what a nightly run faces",
    )
    kind.add_argument(
        "--leave-last", action="store_true", help="hold out the last interaction of each user"
    )
    add_as_of(
        parser,
        "nothing from 00:00 of this date on exists for the board "
        "(default: the day after the last interaction; without times, after it was landed)",
    )
    parser.add_argument(
        "--baselines",
        metavar="A,B",
        help="only these: popularity, recent_popularity, item_knn, ease, ials, bpr, neumf, sasrec, "
        "text_only (default: all of them)",
    )
    parser.add_argument(
        "--ablations", action="store_true", help="also run the product without text"
    )
    parser.add_argument(
        "--seeds",
        type=a_count,
        default=1,
        metavar="N",
        help="train the product from so many seeds and tell the spread (default: 1)",
    )
    parser.add_argument(
        "--dials",
        action="store_true",
        help="also turn each dial of [rerank] and tell what it costs and brings",
    )


def run(options: argparse.Namespace) -> Answer:
    """Run the benchmark flow and show the board."""
    check_before(options.config)
    from flows.local_server import prefect_api
    from pwrank.evaluation.tuning import chosen_names

    wanted = None if options.baselines is None else options.baselines.split(",")
    baselines = chosen_names(wanted)
    with stage_lines(), prefect_api("flows.benchmark"):
        from flows.benchmark import benchmark

        board = benchmark(
            options.config.absolute(),
            options.holdout_days,
            baselines,
            options.as_of,
            ablations=options.ablations,
            seeds=options.seeds,
            dials=options.dials,
        )
    return Answer(board.table(), board.to_json())
