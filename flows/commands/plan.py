"""Counts what waits, times some seconds of the real work on this machine, and runs nothing."""

import argparse
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows import console
from flows.commands import Answer, add_as_of, add_config, today

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pwrank.plan_log import NightPlan, StagePlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank plan`."""
    add_config(parser)
    add_as_of(parser, "the date that would be run (default: today)")
    parser.add_argument("--retrain", action="store_true", help="as `pwrank run --retrain` would")


def run(options: argparse.Namespace) -> Answer:
    """Plan the night of a date and tell it stage by stage."""
    from pwrank.config_file import load_config
    from pwrank.run import open_run
    from tasks.planning import make_plan

    config = load_config(options.config, os.environ)
    as_of = options.as_of or today(config.time_zone)
    with console.stage_lines():
        plan = make_plan(open_run(config, as_of, now=datetime.now(UTC)), retrain=options.retrain)
    at_once = min(config.runtime.shards_at_once, config.score.shards)
    seconds, most = total_seconds(plan, at_once)
    text = "\n".join([*stage_lines(plan), "", _total(plan, seconds, most)])
    return Answer(text, asdict(plan) | {"seconds": seconds, "seconds_most": most})


def stage_lines(plan: "NightPlan") -> list[str]:
    """One line a stage, and what there is to do in it."""
    lines = [
        f"{'stage':<9} {'will':<8} {'seconds':>14} {'GFLOP':>9} {'GB':>7} {'peak MB':>8}  why; work"
    ]
    return lines + [_line(stage) for stage in plan.stages]


def _line(stage: "StagePlan") -> str:
    seconds = "?" if stage.seconds is None else f"{stage.seconds:,.1f}"
    if stage.seconds_most and round(stage.seconds_most) > round(stage.seconds or 0):
        seconds += f" to {stage.seconds_most:,.0f}"
    peak = f"{stage.peak_bytes // 1_000_000:,}" if stage.peak_bytes else "?"
    work = ", ".join(_counts(stage.work))
    return (
        f"{stage.stage:<9} {'reuse' if stage.reused else 'compute':<8} {seconds:>14} "
        f"{stage.flops / 1e9:>9,.0f} {stage.bytes / 1e9:>7.2f} {peak:>8}  {stage.why}"
        f"{'; ' + work if work else ''}"
    )


def _counts(work: "Mapping[str, float]") -> "Iterator[str]":
    """What is counted in words, what it may come to behind it."""
    for name, count in work.items():
        if "seconds" not in name and not name.endswith("_most"):
            most = work.get(f"{name}_most")
            limit = "" if most is None else f" of at most {most:,.0f}"
            yield f"{count:,.0f}{limit} {name.replace('_', ' ')}"


def total_seconds(plan: "NightPlan", at_once: int) -> tuple[float | None, float | None]:
    """Of all stages, shards beside each other, and if a training does all its epochs."""
    seconds = [stage.seconds for stage in plan.stages]
    if any(one is None for one in seconds):
        return None, None
    told = [
        (stage.seconds or 0.0) / (at_once if stage.stage == "score" else 1) for stage in plan.stages
    ]
    more = sum(
        (stage.seconds_most or stage.seconds or 0) - (stage.seconds or 0) for stage in plan.stages
    )
    return sum(told), sum(told) + more


def _total(plan: "NightPlan", seconds: float | None, most: float | None) -> str:
    if seconds is None or most is None:
        return f"{plan.as_of}: how long it takes is not known before the first night"
    longest = f", {most:,.0f} s at most" if round(most) > round(seconds) else ""
    return (
        f"{plan.as_of}: about {seconds:,.0f} s{longest}, and some seconds to start; "
        f"{plan.measured}. `pwrank run` shows on its page what became of it."
    )
