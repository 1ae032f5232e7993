"""Users and items that were never seen are scored too: by popularity, by nothing known."""

import argparse
import os
from pathlib import Path

from flows.commands import Answer, add_as_of, add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank score`."""
    add_config(parser)
    add_as_of(parser, "published date whose model and histories are used (default: the current)")
    parser.add_argument(
        "--pairs",
        type=Path,
        required=True,
        metavar="IN",
        help="csv, tsv, parquet or jsonl with ids, and no columns of the names that are added",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help="the same rows with `score` added"
    )
    parser.add_argument(
        "--heads", action="store_true", help="add `like` and `rating` where the source has ratings"
    )


def run(options: argparse.Namespace) -> Answer:
    """Score the pairs and write them, in their order."""
    from flows.console import published_night, watched
    from pwrank.config_file import load_config
    from pwrank.datasets import IdTypes
    from pwrank.lists.pairs import HEADS, NO_RATINGS, add_scores
    from pwrank.store import Store
    from pwrank.user_files import check_out, read_user_file, write_user_file

    config = load_config(options.config, os.environ)
    store = Store(config.lake).check_version()
    publication, night = published_night(store, options.as_of)
    check_out(options.out, brought=options.pairs, lake=config.lake)
    pairs = read_user_file(options.pairs, config, store.id_types() or IdTypes())
    with watched("score", "pairs", total=pairs.frame.height) as progress:
        scored = add_scores(store, night, pairs, heads=options.heads, progress=progress)
    write_user_file(scored, options.out)
    without_id = int(pairs.without_id.sum())
    has_heads = options.heads and not all(scored[name].is_null().all() for name in HEADS)
    data = {
        "rows": scored.height,
        "without_id": without_id,
        "heads": has_heads,
        "as_of": publication["as_of"],
        "out": str(options.out),
    }
    text = f"{scored.height - without_id:,} pairs scored as of {data['as_of']}: {options.out}"
    if without_id:
        text += f"\n{without_id:,} rows without a user or item id have no score"
    if options.heads and not has_heads and without_id < scored.height:
        text += f"\nlike and rating are empty: {NO_RATINGS}"
        data["why_no_heads"] = NO_RATINGS
    return Answer(text, data)
