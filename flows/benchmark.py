"""Benchmark: the product and tuned baselines on the same split of the user's own files."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from prefect import flow

from flows.runs import Retrying, held_date, loaded_config, night_refs, score_shards
from pwrank.datasets import DatasetRef
from pwrank.evaluation.board import PRODUCT, WITHOUT_TEXT, Board
from pwrank.evaluation.known_log import SplitRule
from pwrank.evaluation.variants import Form, ProductLists, other_dials, other_seeds
from pwrank.ingest import Ingested
from pwrank.published_refs import NightRefs
from pwrank.run import Run
from tasks.benchmark import blank_texts, board, hold_out
from tasks.embed import embed
from tasks.index import index
from tasks.ingest import ingest
from tasks.score import score, stage_rankings
from tasks.train import train


@flow(name="benchmark", persist_result=False)
def benchmark(
    config: Path,
    days: int | None,
    baselines: Sequence[str],
    end: date | None = None,
    *,
    ablations: bool = False,
    seeds: int = 1,
    dials: bool = False,
) -> Board:
    """Hold out, run every stage up to the staged lists in a lake of its own, judge.

    days: hold out so many last days; None: the last interaction of each user. end: nothing from
    00:00 of it on exists. ablations: run the product without text as well. seeds: train so many.
    dials: re-rank with every dial turned.
    """
    resolved, now = loaded_config(config), datetime.now(UTC)
    split = hold_out(resolved, SplitRule(days, resolved.time_zone), end, now)
    run = split.run(resolved, now)
    with held_date(run):
        again = Retrying(run)
        known = again(ingest)(run)
        embeddings = again(embed)(run, known.catalogue)
        night, lists = _ranked(run, known, embeddings)
        product = {PRODUCT: ProductLists(Form.AS_CONFIGURED, lists)}
        if ablations:
            blank = again(blank_texts)(run, known.catalogue, embeddings)
            without = _ranked(run, known, blank)[1]
            product[WITHOUT_TEXT] = ProductLists(Form.WITHOUT_TEXT, without)
        for name, other in other_seeds(run, seeds):
            lists = _ranked(other, known, embeddings)[1]
            product[name] = ProductLists(Form.OTHER_SEED, lists)
        for name, other in other_dials(run) if dials else ():
            product[name] = ProductLists(Form.TURNED_DIAL, _listed(other, night))
        return again(board)(run, split, night, product, baselines)


def _ranked(run: Run, known: Ingested, embeddings: DatasetRef) -> tuple[NightRefs, DatasetRef]:
    """The stages from training to the staged lists, as in a nightly run."""
    again = Retrying(run)
    model = again(train)(run, known.histories, known.catalogue, embeddings, force=True)
    items = again(index)(run, known.histories, known.catalogue, embeddings, model)
    night = night_refs(known, embeddings, model, items)
    return night, _listed(run, night)


def _listed(run: Run, night: NightRefs) -> DatasetRef:
    """The staged lists of a night that is ready to be scored."""
    score_shards(score, run, night)
    return Retrying(run)(stage_rankings)(run, night)
