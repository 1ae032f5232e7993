"""One night in a process of its own, with faults or without.

A fork server imports this once, and starts nothing; so that a night begins in no time and may be
killed two hundred times.
"""

from __future__ import annotations

from flows.environment import prepare_environment

prepare_environment()

import multiprocessing  # noqa: E402 - Prefect must find the environment prepared
import os  # noqa: E402
import sys  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from datetime import UTC, date, datetime, timedelta  # noqa: E402
from pathlib import Path  # noqa: E402

import transformers.models.bert.modeling_bert  # noqa: E402, F401 - loaded once, not per night
from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: E402

import flows.cli  # noqa: E402
import flows.commands.backfill  # noqa: E402
import flows.commands.run  # noqa: E402
import flows.nightly  # noqa: E402
import pwrank.embed  # noqa: E402
from flows.runs import held_date, night_refs  # noqa: E402
from pwrank.config_file import load_config  # noqa: E402
from pwrank.run import open_run  # noqa: E402
from tasks.embed import embed  # noqa: E402
from tasks.evaluate import evaluate  # noqa: E402
from tasks.index import index  # noqa: E402
from tasks.ingest import ingest  # noqa: E402
from tasks.planning import note_plan  # noqa: E402
from tasks.publish import publish  # noqa: E402
from tasks.score import score, stage_rankings  # noqa: E402
from tasks.train import train  # noqa: E402
from tests.faults.injection import Fault, Journal  # noqa: E402

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])

AT_MOST_SECONDS = 300

BLOCK_TEXTS = 4
"""Texts encoded together: few, so that a night of twenty texts has several blocks."""


@dataclass(frozen=True)
class Night:
    """What a process is to do: a command through Prefect's engine, or the stages alone."""

    world: Path
    as_of: date
    known_now: bool = False
    api: str | None = None
    """Prefect's API; None: the stages alone, in the order of the flow."""
    fault: Fault | None = None
    until: date | None = None
    """The last date of a range, which `pwrank backfill` runs."""
    missing_only: bool = False

    @property
    def days(self) -> list[date]:
        span = ((self.until or self.as_of) - self.as_of).days
        return [self.as_of + timedelta(days=number) for number in range(span + 1)]

    @property
    def arguments(self) -> list[str]:
        """Of the command."""
        if self.until:
            dates = ["--from", str(self.as_of), "--to", str(self.until)]
            return ["backfill", *dates, *(["--missing-only"] if self.missing_only else [])]
        known = ["--known-at", "now"] if self.known_now else []
        return ["run", "--as-of", str(self.as_of), *known]

    @property
    def journal(self) -> Path:
        return self.world / "journal.tsv"

    @property
    def told(self) -> Path:
        """What the process said."""
        return self.world / "told.txt"

    def run(self, signalled: tuple[float, int] | None = None) -> int:
        """Exit code, or minus the signal that ended it. signalled: seconds, then which signal."""
        process = FORKS.Process(target=_run, args=(self,))
        process.start()
        if signalled:
            process.join(signalled[0])
            if process.exitcode is None:
                os.kill(process.pid, signalled[1])
        process.join(AT_MOST_SECONDS)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{self}: still running\n{self.told.read_text()}")
        return process.exitcode


def _run(night: Night) -> None:
    output = os.open(night.told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(night.world)
    pwrank.embed.BLOCK_TEXTS = BLOCK_TEXTS
    Journal(night.world / "lake", night.journal, night.fault).install()
    if night.api is None:
        _stages(night)
        return
    with temporary_settings({PREFECT_API_URL: night.api}):
        sys.exit(flows.cli.main(night.arguments))


def _stages(night: Night) -> None:
    """The nightly flow without Prefect's engine: its very tasks, in its order."""
    now = datetime.now(UTC)
    run = open_run(
        load_config(night.world / "pwrank.toml"),
        night.as_of,
        now=now,
        known_at=now if night.known_now else None,
    )
    with held_date(run):
        note_plan(run)
        known = ingest.fn(run)
        embeddings = embed.fn(run, known.catalogue)
        model = train.fn(run, known.histories, known.catalogue, embeddings)
        items = index.fn(run, known.histories, known.catalogue, embeddings, model)
        refs = night_refs(known, embeddings, model, items)
        for shard in range(run.config.score.shards):
            score.fn(shard, run, refs)
        staged = stage_rankings.fn(run, refs)
        publish.fn(run, staged, refs, evaluate.fn(run, staged, refs))
