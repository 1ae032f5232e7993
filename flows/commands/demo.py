"""No network, real all-MiniLM-L6-v2 weights, about two minutes; a second time nothing is redone."""

import argparse
import shlex
import shutil
import sys
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

from flows.commands import Answer

CONFIG = """\
# The demo's configuration; run it again with: pwrank run --config {path} --as-of {as_of}
lake = "lake"

[source]
{source}
"""

SHOP_SOURCE = """\
interactions = "shop/interactions"
items = "shop/items"
users = "shop/users.csv"

[train]
epochs = 6    # keeps the demo short; the default of 20 stops by itself and is no better here
"""


SHOWN_SLICES = ("all", "with_list", "new_users", "cold_items")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank demo`."""
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("pwrank-demo"),
        metavar="DIR",
        help="where everything is put (default: pwrank-demo)",
    )
    parser.add_argument(
        "--from",
        dest="from_folder",
        type=Path,
        metavar="DIR",
        help="a MovieLens folder instead of the generated shop",
    )


def run(options: argparse.Namespace) -> Answer:
    """Prepare the data, run the nightly flow, judge it by the days after, show some users."""
    from flows.commands import evaluate, show
    from flows.commands import run as nightly_run

    folder = options.folder.absolute()
    prepare = _movielens if options.from_folder else _shop
    config, as_of, holdout = prepare(folder, options.from_folder)
    which = ("--config", config, "--as-of", as_of)
    night = _called(nightly_run, *which)
    judged = _called(evaluate, *which, "--holdout", holdout, "--slices", *SHOWN_SLICES)
    shown = _called(show, *which, "--users", 3, "--top", 5)
    text = "\n\n".join(
        [
            night.text,
            f"Held-out days after {as_of} ({holdout.name}), full catalogue:\n{judged.text}",
            shown.text,
            _where(folder, config, as_of),
        ]
    )
    data = {"night": night.data, "holdout": judged.data, "users": shown.data}
    return Answer(text, data)


def _called(command: ModuleType, *arguments: object) -> Answer:
    """What another command answers to these arguments, the rest as it is by default."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    answer: Answer = command.run(parser.parse_args([str(told) for told in arguments]))
    return answer


def _shop(folder: Path, _source: None) -> tuple[Path, date, Path]:
    """Write the generated shop, the same bytes every time."""
    from pwrank.shop import write_shop

    shop = write_shop(folder / "shop")
    config = _write_config(folder / "pwrank.toml", SHOP_SOURCE, shop.as_of)
    return config, shop.as_of, shop.holdout


def _movielens(folder: Path, source: Path) -> tuple[Path, date, Path]:
    """Cut a MovieLens log in time: the newest twentieth is what the lists are judged by."""
    from pwrank.landing.demo_split import split_by_time

    told = f'kind = "movielens"\nfolder = "{source.absolute()}"\n'
    config = folder / f"{source.absolute().name}.toml"
    _write_config(config, told, None)
    holdout = folder / f"{source.absolute().name}-holdout.csv"
    as_of = split_by_time(config, holdout)
    return _write_config(config, told, as_of), as_of, holdout


def _write_config(path: Path, source: str, as_of: date | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(path=path, as_of=as_of or "DATE", source=source)
    path.write_text(text.replace('lake = "lake"', f'lake = "{path.stem}-lake"'), encoding="utf-8")
    return path


def _where(folder: Path, config: Path, as_of: date) -> str:
    lake = folder / f"{config.stem}-lake"
    lines: dict[str, Any] = {
        "rankings": lake / "rankings" / "v1" / f"as_of={as_of}",
        "report": lake / "reports" / f"as_of={as_of}" / "report.html",
        "configuration": config,
        "look closer": f"{_as_called()} show --config {shlex.quote(str(config))} --user ID",
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())


def _as_called() -> str:
    """The command as it was called, so that the line works when it is pasted."""
    called = Path(sys.argv[0])
    found = shutil.which("pwrank")
    on_path = found is not None and Path(found).absolute() == called.absolute()
    return "pwrank" if on_path or not called.is_file() else shlex.quote(sys.argv[0])
