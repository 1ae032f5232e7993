"""The command `pwrank`: parses, runs one command, turns errors into exit codes.

Exit codes: 0 done, 1 unexpected, 2 usage, configuration or input, 3 a gate refused, 4 another run
holds this date. Heavy libraries are imported by the commands that need them, when they run.
"""

import argparse
import errno
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.environment import prepare_environment

COMMANDS = {
    "demo": "the whole nightly run on a generated shop, then what came of it",
    "init": "write a configuration file to start from",
    "check": "look at the configuration and the data without running anything",
    "plan": "what a night will do and take on this machine, before anything starts",
    "run": "the nightly run: ingest, embed, train if due, score, publish",
    "backfill": "the nightly run for a range of past dates",
    "train": "train a ranker now",
    "score": "score pairs of users and items that you bring",
    "evaluate": "judge published rankings by interactions that came later",
    "benchmark": "the product beside tuned baselines on a split of your own data",
    "show": "a user's history, list and reasons",
    "status": "published dates and their figures",
    "rollback": "make an earlier published date current",
    "diff": "how much two published dates differ, and because of what",
    "forget": "take a person out of everything the lake holds, for good",
    "report": "where the page of a date is",
    "doctor": "is this machine fit to run it",
}

LAKE_DAMAGED = 2
"""Exit code: the user can mend it."""

TROUBLES = {
    errno.ENOSPC: ("disk full", "free space on the lake's file system"),
    errno.EDQUOT: ("disk full", "free space or raise the quota on the lake's file system"),
    errno.EROFS: ("disk is read-only", "make the lake's file system writable"),
    errno.EIO: ("disk failed", "check the disk under the lake"),
}
"""What no program can mend by itself: the fact, and what a person can do."""


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command's own arguments."""
    parser = argparse.ArgumentParser(
        prog="pwrank",
        description="Ranks a catalogue for every user, every night, and publishes Parquet.",
        epilog="`pwrank COMMAND --help` explains a command. Start with `pwrank demo`.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = _module(name)
        sub = subparsers.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {module.__doc__}"
        )
        module.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print the answer as JSON")
        sub.add_argument("--debug", action="store_true", help="show tracebacks and Prefect's log")
    return parser


def ids_joined(arguments: Sequence[str]) -> list[str]:
    """`--user -x` as `--user=-x`: an id may begin with a dash, which argparse takes for options."""
    joined: list[str] = []
    for word in arguments:
        dashed = word[:1] == "-" and word[:2] != "--" and word != "-h"
        if dashed and joined[-1:] == ["--user"]:
            joined[-1] = f"--user={word}"
        else:
            joined.append(word)
    return joined


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    options = parser.parse_args(ids_joined(sys.argv[1:] if arguments is None else arguments))
    if options.version:
        from pwrank.run import code_version

        print(f"pwrank {code_version()}")
        return 0
    if options.command is None:
        parser.print_help()
        return 2
    if options.debug:
        os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    prepare_environment()
    signal.signal(signal.SIGTERM, _terminated)
    return _guarded(_module(options.command), options)


def _guarded(command: Any, options: argparse.Namespace) -> int:
    """Run a command; an error becomes one or two lines and an exit code."""
    from pwrank.errors import PwrankError

    try:
        answer = command.run(options)
        _tell(answer, as_json=options.json)
    except PwrankError as error:
        if options.debug:
            raise
        print(f"pwrank: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader has seen enough (`| head`); nothing may be flushed into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("pwrank: interrupted; run the same command again to finish the rest", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        return _fail(error, options)
    return int(answer.exit_code)


def _fail(error: Exception, options: argparse.Namespace) -> int:
    """Tell of an error that no command foresaw; what the machine lacks is no defect of pwrank."""
    from pwrank.errors import first_line, machine_error

    trouble = machine_error(error)
    if trouble is not None:
        fact, remedy = TROUBLES[trouble]
        # The words of libraries around it mislead: polars calls it a file out of specification.
        said = first_line(error) if isinstance(error, OSError) else os.strerror(trouble)
        print(
            f"pwrank: {fact}: {said}; {remedy} and run the same command again; "
            "nothing was published half",
            file=sys.stderr,
        )
        _drop_unwritable_output()
        return 1
    if damaged := _damaged_file(error, options):
        print(
            f"pwrank: {damaged}: damaged ({first_line(error)}); remove it and run again",
            file=sys.stderr,
        )
        return LAKE_DAMAGED
    print(
        f"pwrank: unexpected {type(error).__name__}: {first_line(error)}\n"
        "run again with --debug to see where, and report it",
        file=sys.stderr,
    )
    return 1


def _damaged_file(error: Exception, options: argparse.Namespace) -> Path | None:
    """The file of the lake that polars could not read, where that is what went wrong."""
    from pwrank.config_file import load_config
    from pwrank.errors import PwrankError
    from pwrank.signatures import find_damaged

    if not hasattr(options, "config"):
        return None
    try:
        return find_damaged(load_config(options.config, os.environ).lake, error)
    except (PwrankError, OSError):
        return None


def _drop_unwritable_output() -> None:
    """What standard output cannot take must not fail once more when Python exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(answer: Any, *, as_json: bool) -> None:
    """Print what a command has to say, and notice here if nobody listens any more."""
    if as_json:
        from pwrank.store import finite

        data = finite(answer.data)
        print(json.dumps(data, indent=1, default=str, ensure_ascii=False, allow_nan=False))
    else:
        print(answer.text)
    sys.stdout.flush()
    if answer.error:
        print(f"pwrank: {answer.error}", file=sys.stderr)


def _module(name: str) -> Any:
    return importlib.import_module(f"flows.commands.{name}")


def _terminated(_signal: int, _frame: object) -> None:
    """Leave through every `finally`: leases are freed, the local server is stopped."""
    print("pwrank: stopped; run the same command again to finish the rest", file=sys.stderr)
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
