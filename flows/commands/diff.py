"""Lists of users who have one on both dates, by source and by length of history; then why.

For the why, some users are scored again with one thing of the later date at a time: data,
catalogue, model, index or rules. Nothing is written to the lake.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands import Answer, a_count, a_date, add_config, plain

if TYPE_CHECKING:
    from pwrank.comparison.attribution import Attribution

SAMPLE_USERS = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank diff`."""
    add_config(parser)
    parser.add_argument("before", type=a_date, metavar="A", help="published date, the earlier")
    parser.add_argument("after", type=a_date, metavar="B", help="published date, the later")
    parser.add_argument(
        "--sample-users",
        type=a_count,
        default=SAMPLE_USERS,
        metavar="N",
        help=f"users who are scored again (default: {SAMPLE_USERS})",
    )


def run(options: argparse.Namespace) -> Answer:
    """Compare two publications and attribute what changed."""
    from flows.console import publication_of, watched
    from pwrank.comparison.attribution import FACTORS, Stages, attribute
    from pwrank.comparison.lake import compare_dates, sample_of
    from pwrank.config_file import load_config
    from pwrank.errors import ConfigError
    from pwrank.index import index
    from pwrank.publication import read_rankings
    from pwrank.score import score_shard
    from pwrank.store import Store

    config = load_config(options.config, os.environ)
    store = Store(config.lake).check_version()
    dates = (options.before, options.after)
    if options.before > options.after:
        raise ConfigError(f"diff {dates[0]} {dates[1]}: the first date is the later one; swap them")
    told = (publication_of(store, dates[0]), publication_of(store, dates[1]))
    changed = compare_dates(store, told)
    users = sample_of(store, dates, options.sample_users)
    why: Attribution | str = "no user has a list on both dates"
    if len(users):
        with (
            tempfile.TemporaryDirectory(prefix="pwrank-diff-") as scratch,
            watched("diff", "factors", total=len(FACTORS)) as progress,
        ):
            why = attribute(
                store,
                told,
                (read_rankings(store.lake, dates[0]), read_rankings(store.lake, dates[1])),
                users,
                config=config,
                stages=Stages(index, score_shard),
                scratch=Path(scratch),
                progress=progress,
            )
    text = f"{_changed_text(dates, changed)}\n\n{_why_text(why)}"
    return Answer(text, {**changed, "why": _why_data(why)})


def _changed_text(dates: tuple[Any, Any], changed: Mapping[str, Any]) -> str:
    users, items = changed["users"], changed["items"]
    lines = [
        (
            f"{dates[0]} → {dates[1]}: {users['in_both']:,} users with a list on both, "
            f"{users['new']:,} new, {users['gone']:,} gone"
        ),
        (
            f"first ten: {items['listed']:,} items listed, {items['in']:,} of them new, "
            f"{items['out']:,} gone"
        ),
        "",
        f"{'':<24}{'users':>10} {'RBO@10':>8} {'Jaccard@10':>11} {'unchanged':>10}",
        _row("all", changed["lists"]),
    ]
    lines += [_row(f"source {name}", part) for name, part in changed["by_source"].items()]
    if changed["by_history"] is None:
        lines.append(f"  histories of {dates[1]} are no longer in the lake")
    for name, part in (changed["by_history"] or {}).items():
        lines.append(_row(f"history of {name}", part))
    for word in ("more", "less"):
        rows = changed[word][:3]
        if rows:
            lines.append(f"listed {word}: " + "; ".join(_item(row) for row in rows))
    return "\n".join(lines)


def _row(name: str, part: Mapping[str, Any]) -> str:
    return (
        f"{name:<24}{part['users']:>10,} {part['rbo@10']:>8.3f} {part['jaccard@10']:>11.3f} "
        f"{part['unchanged_share@10']:>9.1%}"
    )


def _item(row: Mapping[str, Any]) -> str:
    return f"{plain(str(row.get('title') or row['item_id']))} ({row['a']:,} → {row['b']:,})"


def _why_text(why: "Attribution | str") -> str:
    if isinstance(why, str):
        return f"why: {why}"
    lines = [
        f"why: {why.together.users:,} users scored again, one thing of the later date at a time",
        f"{'':<24}{'RBO@10':>8} {'Jaccard@10':>11} {'unchanged':>10}",
    ]
    for factor in why.factors:
        if factor.effect:
            lines.append(_effect(factor.name, factor.effect.to_json()))
        else:
            lines.append(f"{factor.name:<24}{factor.gone or 'the same on both dates'}")
    lines.append(_effect("all at once", why.together.to_json()))
    for day, kept in why.reproduced.items():
        if kept.unchanged < 1:
            lines.append(
                f"lists of {day} scored again differ from those published (RBO@10 {kept.rbo:.3f}): "
                "code or machine changed, or somebody was forgotten"
            )
    return "\n".join(lines)


def _effect(name: str, part: Mapping[str, Any]) -> str:
    return (
        f"{name:<24}{part['rbo@10']:>8.3f} {part['jaccard@10']:>11.3f} "
        f"{part['unchanged_share@10']:>9.1%}"
    )


def _why_data(why: "Attribution | str") -> dict[str, Any]:
    if isinstance(why, str):
        return {"told": False, "reason": why}
    return {
        "told": True,
        "factors": {
            factor.name: {
                "changed": factor.changed,
                "gone": factor.gone or None,
                "effect": factor.effect.to_json() if factor.effect else None,
            }
            for factor in why.factors
        },
        "together": why.together.to_json(),
        "reproduced": {day: kept.to_json() for day, kept in why.reproduced.items()},
    }
