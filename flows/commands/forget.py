"""What was signed is signed anew, models trained with them are due, no later drop brings them back.

Without --yes it only tells what it would touch. Killed in the middle, the same command finishes
the rest. The source files are yours: take the person out of them too.
"""

import argparse
import os
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands import Answer, add_config

if TYPE_CHECKING:
    from pwrank.forget import Forgotten, Search

SHOWN = 20
"""Files listed before the rest are only counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank forget`."""
    add_config(parser)
    parser.add_argument("--user", required=True, metavar="ID", help="whom to forget")
    parser.add_argument("--yes", action="store_true", help="do it; there is no way back")
    parser.add_argument(
        "--pairs",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a csv, tsv, jsonl or parquet file of yours to take them out of; may be given again",
    )


def run(options: argparse.Namespace) -> Answer:
    """Forget, or tell what would be touched."""
    from flows.console import watched
    from pwrank.config_file import load_config
    from pwrank.errors import ConfigError, LakeError
    from pwrank.forget import forget, forgotten_at, look_for, person_of
    from pwrank.forgetting.search import lake_files
    from pwrank.locks import whole_lake
    from pwrank.report.users import as_user_ids
    from pwrank.store import Store
    from pwrank.writable import check_writable

    config = load_config(options.config, os.environ)
    store = Store(config.lake).check_version()
    if not store.lake.is_dir():
        raise LakeError(f"{store.lake}: there is no lake; nobody is in it")
    if options.yes:
        check_writable(store)
    now = datetime.now(UTC)
    holder = {"host": socket.gethostname(), "process": os.getpid(), "since": f"{now:%F %T} UTC"}
    if not options.user.strip():
        raise ConfigError("--user is empty; name the user whom to forget")
    user = as_user_ids(store, [options.user]).item()
    person = person_of(store, user, secrets.token_hex(32))
    files = len(lake_files(store.lake))
    with watched("forget", "files", total=files) as progress:
        if not options.yes:
            found = look_for(store, person, progress)
            return _plan(found, options.pairs, before=forgotten_at(store, person))
        with whole_lake(store, holder):
            done = forget(store, config, person, now=now, pairs=options.pairs, progress=progress)
    return Answer(_told(done), _data(done))


def _plan(found: "Search", pairs: list[Path], *, before: str | None) -> Answer:
    """What --yes would touch. before: when the same person was forgotten, if they were."""
    lines = [f"{len(found.as_user)} of {found.files:,} files of the lake name this user:"]
    if not found.as_user:
        lines = [f"none of {found.files:,} files of the lake names this user: nothing to take out"]
    lines += [f"  {finding.path}: {finding.rows:,}" for finding in found.as_user[:SHOWN]]
    if len(found.as_user) > SHOWN:
        lines.append(f"  and {len(found.as_user) - SHOWN} more")
    lines += [f"  {path}: will be searched" for path in pairs]
    if before:
        lines.append(f"they were forgotten on {before[:10]}, and are kept out since")
    elif found.as_user or pairs:
        lines.append("nothing was changed; add --yes to forget, there is no way back")
    else:
        lines.append(
            "nothing was changed; --yes would keep rows of theirs out of what is landed from now on"
        )
    data = {"done": False, "forgotten_at": before, **_searched(found)}
    return Answer("\n".join(lines), data, exit_code=2)


def _told(done: "Forgotten") -> str:
    removed = ", ".join(f"{rows:,} {name}" for name, rows in sorted(done.removed.items()))
    lines = [f"forgotten; taken out: {removed or 'nothing, the lake held nothing of them'}"]
    lines += [f"{path}: {rows:,} rows taken out" for path, rows in done.pairs.items()]
    if done.dates:
        lines.append(f"signed anew: {', '.join(map(str, done.dates))}")
    if done.models_due:
        lines.append(
            f"models due: {', '.join(done.models_due)}; the next run trains again without them"
        )
    proof = done.proof
    lines.append(f"proof: {proof.files:,} files searched afterwards, 0 name this user")
    for finding in proof.elsewhere[:SHOWN]:
        lines.append(f"  the same text as something else: {finding.path}, {finding.elsewhere}")
    if len(proof.elsewhere) > SHOWN:
        lines.append(f"  and in {len(proof.elsewhere) - SHOWN} files more")
    lines.append("your source files still hold them: rows that name them are set aside on landing")
    return "\n".join(lines)


def _data(done: "Forgotten") -> dict[str, Any]:
    return {
        "done": True,
        "removed": done.removed,
        "pairs": done.pairs,
        "models_due": done.models_due,
        "signed_anew": list(map(str, done.dates)),
        **_searched(done.proof),
    }


def _searched(found: "Search") -> dict[str, Any]:
    return {
        "files_searched": found.files,
        "naming_the_user": [str(finding.path) for finding in found.as_user],
        "elsewhere": {str(finding.path): finding.elsewhere for finding in found.elsewhere},
    }
