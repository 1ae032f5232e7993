"""One pointer moves; nothing is copied or removed."""

import argparse
import os
from datetime import UTC, datetime

from flows.commands import Answer, a_date, add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank rollback`."""
    add_config(parser)
    parser.add_argument("--to", type=a_date, required=True, metavar="DATE", help="published date")
    parser.add_argument(
        "--reason", help="why; recorded with the pointer, and told by `pwrank status`"
    )


def run(options: argparse.Namespace) -> Answer:
    """Move the pointer."""
    from pwrank.config_file import load_config
    from pwrank.errors import LakeError
    from pwrank.publication import NO_REASON, published_dates, rollback
    from pwrank.store import Store
    from pwrank.writable import check_writable

    store = Store(load_config(options.config, os.environ).lake).check_version()
    check_writable(store)
    try:
        reason = (options.reason or "").strip() or NO_REASON
        publication = rollback(store, options.to, reason=reason, now=datetime.now(UTC))
    except FileNotFoundError:
        dates = ", ".join(map(str, published_dates(store))) or "none"
        raise LakeError(f"{options.to} is not published; published: {dates}") from None
    data = {"current": publication["as_of"], "version": publication["version"]}
    return Answer(f"{publication['as_of']} is current", data)
