"""The nightly run: from last night's drops to tomorrow's ranked list for every user.

Read this page first: it is the whole data flow, one line a stage. Safe to run again at any time:
what is done already is recognised and skipped.
"""

from datetime import date
from pathlib import Path

from prefect import flow

from flows.runs import Retrying, night_refs, run_name, score_shards, started_run
from pwrank.publish import Published
from tasks.embed import embed
from tasks.evaluate import evaluate
from tasks.index import index
from tasks.ingest import ingest
from tasks.planning import note_plan
from tasks.publish import publish
from tasks.score import score, stage_rankings
from tasks.train import train


@flow(name="nightly", flow_run_name=run_name, persist_result=False)
def nightly(
    config: Path,
    as_of: date | None = None,
    known_at: str | None = None,
    *,
    retrain: bool = False,
    overrides: dict[str, str] | None = None,
) -> Published:
    """Rank the catalogue for every user as of one date, and publish.

    config: TOML file. as_of: nothing from 00:00 of this date on exists for the run; by default
    the day for which the run was scheduled. known_at: "now", or an ISO time, to see rows that
    arrived after the date was first published. retrain: train even if the model is not due.
    overrides: gates whose refusal does not count tonight, each with the reason to be recorded.
    """
    with started_run(config, as_of, known_at, overrides) as run:
        note_plan(run, retrain=retrain)
        again = Retrying(run)
        known = again(ingest)(run)
        embeddings = again(embed)(run, known.catalogue)
        model = again(train)(run, known.histories, known.catalogue, embeddings, force=retrain)
        items = again(index)(run, known.histories, known.catalogue, embeddings, model)
        night = night_refs(known, embeddings, model, items)
        score_shards(score, run, night)
        staged = again(stage_rankings)(run, night)
        metrics = again(evaluate)(run, staged, night)
        return again(publish)(run, staged, night, metrics)
