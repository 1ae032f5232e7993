"""Titles come from the catalogue of that date."""

import argparse
import os
from typing import TYPE_CHECKING

from flows.commands import Answer, a_count, add_as_of, add_config, plain

if TYPE_CHECKING:
    from datetime import datetime

    from pwrank.report.users import ShownUser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank show`."""
    add_config(parser)
    add_as_of(parser, "published date (default: the current one)")
    parser.add_argument(
        "--user", action="append", metavar="ID", help="user to show; may be given again"
    )
    parser.add_argument(
        "--users", type=a_count, default=3, metavar="N", help="else N users of the lake"
    )
    parser.add_argument("--top", type=a_count, default=10, metavar="N", help="ranks to show")


def run(options: argparse.Namespace) -> Answer:
    """Show users with their history, their list and the reasons."""
    from datetime import date

    from flows.console import published_night
    from pwrank.config_file import load_config
    from pwrank.publication import read_rankings
    from pwrank.report.users import as_user_ids, sample_users, show_users
    from pwrank.store import Store

    store = Store(load_config(options.config, os.environ).lake).check_version()
    publication, night = published_night(store, options.as_of)
    as_of = date.fromisoformat(publication["as_of"])
    if options.user:
        chosen = as_user_ids(store, options.user)
    else:
        chosen = sample_users(store, night, read_rankings(store.lake, as_of), options.users)
    shown = show_users(store, night, as_of, chosen, most=options.top)
    text = "\n\n".join(user_text(user) for user in shown)
    return Answer(text, [user.__dict__ for user in shown])


def user_text(user: "ShownUser") -> str:
    """A user as plain text."""
    name = plain(str(user.user_id))
    timed = any(row["occurred_at"] for row in user.history)
    order = "newest first" if timed or not user.history else "last one first"
    lines = [f"user {name}: {user.interactions} interactions, {order}"]
    lines += [
        f"    {_day(row['occurred_at']):<10} {plain(row['event']):<12} {_title(row)}"
        for row in user.history
    ]
    lines.append("  ranking")
    for row in user.ranking:
        because = "; ".join(plain(reason) for reason in row["reasons"] or [])
        reason = f"   ← {because}" if because else f"   ({row['source']})"
        lines.append(f"    {row['rank']:>3}  {row['score']:.6f}  {_title(row)}{reason}")
    return "\n".join(lines)


def _day(moment: "datetime | None") -> str:
    return f"{moment:%Y-%m-%d}" if moment else "-"


def _title(row: dict[str, object]) -> str:
    item = plain(str(row["item_id"]))
    return f"{plain(str(row['title']))} ({item})" if row["title"] else item
