"""Retrain: a new ranker now, whether it is due or not; the next nightly run takes it up."""

from datetime import date
from pathlib import Path

from prefect import flow

from flows.runs import Retrying, run_name, started_run
from pwrank.datasets import DatasetRef
from tasks.embed import embed
from tasks.ingest import ingest
from tasks.train import train


@flow(name="retrain", flow_run_name=run_name, persist_result=False)
def retrain(config: Path, as_of: date | None = None, known_at: str | None = None) -> DatasetRef:
    """Train a ranker on what is known before one date; publishes nothing."""
    with started_run(config, as_of, known_at) as run:
        again = Retrying(run)
        known = again(ingest)(run)
        embeddings = again(embed)(run, known.catalogue)
        return again(train)(run, known.histories, known.catalogue, embeddings, force=True)
