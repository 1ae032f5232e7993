"""Publishes nothing; the next `pwrank run` takes the new ranker up."""

import argparse

from flows.commands import Answer, add_as_of, add_config
from flows.console import check_before, stage_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank train`."""
    add_config(parser)
    add_as_of(parser, "train on what happened before this date (default: today)")


def run(options: argparse.Namespace) -> Answer:
    """Run the retraining flow and show the figures of the ranker."""
    config = check_before(options.config)
    from flows.local_server import prefect_api

    with stage_lines(), prefect_api("flows.retrain"):
        from flows.retrain import retrain

        model = retrain(options.config.absolute(), as_of=options.as_of)
    lines = [f"model {model.figures['model_version']}, {model.rows:,} interactions"]
    lines += [f"  {name:<24} {value:.5g}" for name, value in model.figures["metrics"].items()]
    lines.append(str(config.lake / model.path / "README.md"))
    return Answer("\n".join(lines), {"path": model.path, **model.figures})
