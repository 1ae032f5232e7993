"""The file explains itself; three lines under `[source]` are enough to run."""

import argparse
from pathlib import Path

from flows.commands import Answer

TABLES = """\
# Run with: pwrank run --config {name}
lake = "lake"                          # everything is written below this folder

[source]
kind = "tables"                        # csv(.gz), parquet or jsonl: a file, a folder or a glob
interactions = "interactions.csv"
items = "items.csv"
# encoding = "utf-8"                   # of text files, e.g. latin-1
# timestamp_format = "%d.%m.%Y %H:%M"  # where times are neither numbers nor ISO 8601

[source.columns]                       # only where your names differ from these
# user_id = "user_id"
# item_id = "item_id"
# timestamp = "timestamp"
# title = "title"
# text = "text"
# category = "category"
# available = "available"
# rating = "rating"
# weight = "weight"                    # of an interaction: plays, pieces
# updated_at = "updated_at"            # of an item: when its row becomes true, e.g. published_at

# [encoder]                            # more of an item for the model to read: its other columns
# text_template = "{{title}}. {{authors}}. {{category}}. {{text}}"
"""

MOVIELENS = """\
# Run with: pwrank run --config {name}
lake = "lake"                          # everything is written below this folder

[source]
kind = "movielens"                     # ml-100k, ml-1m, ml-10m, ml-latest-small to ml-32m
folder = "ml-latest-small"
"""

TEMPLATES = {"tables": TABLES, "movielens": MOVIELENS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank init`."""
    parser.add_argument("--kind", choices=TEMPLATES, default="tables", help="kind of source")
    parser.add_argument("file", nargs="?", type=Path, default=Path("pwrank.toml"))


def run(options: argparse.Namespace) -> Answer:
    """Write the file; never over one that is there."""
    from pwrank.errors import ConfigError

    text = TEMPLATES[options.kind].format(name=options.file)
    try:
        with options.file.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{options.file}: exists already; name another file") from None
    except OSError as error:
        raise ConfigError(f"{options.file}: cannot be written ({error.strerror})") from None
    following = f"edit it, then: pwrank check --config {options.file}"
    return Answer(f"{options.file} written; {following}", {"file": str(options.file)})
