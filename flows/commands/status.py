"""The current date is marked with an arrow."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from flows.commands import Answer, add_config, plain

if TYPE_CHECKING:
    from pwrank.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank status`."""
    add_config(parser)


def run(options: argparse.Namespace) -> Answer:
    """List the publications of the lake."""
    from pwrank.config_file import load_config
    from pwrank.publication import published_dates, read_current, read_publication, trouble_of
    from pwrank.store import Store

    store = Store(load_config(options.config, os.environ).lake).check_version()
    pointer = read_current(store) or {}
    current = pointer.get("as_of")
    found = [read_publication(store, day) for day in published_dates(store)]
    trouble = {night["as_of"]: trouble_of(store, night) for night in found}
    lines = ["  as-of date         users         rows  model                published at"]
    for night in found:
        mark = "→" if night["as_of"] == current else " "
        model = night["inputs"]["model"]["figures"]["model_version"]
        lines.append(
            f"{mark} {night['as_of']}  {night['users']:>12,} {night['rows']:>12,}  {model:<20} "
            f"{night['published_at'][:19]}"
        )
        if trouble[night["as_of"]]:
            lines.append(f"    damaged: {trouble[night['as_of']]}")
        for step, why in night.get("degraded", {}).items():
            lines.append(f"    degraded, {step}: {plain(why)}")
        for gate, reason in night.get("overrides", {}).items():
            lines.append(f"    gate “{gate}” was overridden: {plain(reason)}")
    if pointer.get("moved", "published") != "published":
        lines.append(f"{current} was made current by hand: {pointer['moved']}")
    if held := pointer.get("held_until_after"):
        lines.append(f"it stays current until a date after {held} is published")
    if not found:
        lines = [f"nothing is published in {store.lake}; `pwrank run` publishes"]
    refused = _refused(store)
    lines += _refusal_lines(refused) if refused else []
    about = ("as_of", "version", "users", "rows", "figures", "degraded", "overrides")
    keys = (*about, "published_at", "cut", "known_at", "seen_until")
    moves = pointer.get("moves", [])
    data = {
        "current": current,
        "moves": moves,
        "refused": refused,
        "dates": [
            {key: night.get(key) for key in keys} | {"trouble": trouble[night["as_of"]]}
            for night in found
        ],
    }
    return Answer("\n".join(lines), data)


def _refused(store: "Store") -> dict[str, Any] | None:
    """The newest refused date that neither it nor a newer one was published since, and its page."""
    from pwrank.refusals import open_refusal
    from pwrank.report.night import report_path

    found = open_refusal(store)
    if found is None:
        return None
    return {**found, "report": str(report_path(store, found["as_of"]))}


def _refusal_lines(refused: dict[str, Any]) -> list[str]:
    told = [
        f"    gate “{gate['gate']}”: {plain(gate['figure'], 120)}, wanted {gate['bound']}"
        for gate in refused["gates"]
    ]
    at = refused["refused_at"][:19]
    return [f"{refused['as_of']} was refused at {at}; its page: {refused['report']}", *told]
