"""Tasks: what the quality board does besides the stages: hold out, blank the texts, judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from prefect import task

from pwrank.config import Config
from pwrank.datasets import DatasetRef
from pwrank.evaluation.ablation import blank_embeddings
from pwrank.evaluation.board import Board
from pwrank.evaluation.board_judging import judge_board
from pwrank.evaluation.board_split import (
    BoardSplit,
    open_landed,
    refuse_untunable,
    split_log,
)
from pwrank.evaluation.known_log import SplitRule
from pwrank.evaluation.tuning import fits_planned
from pwrank.evaluation.variants import ProductLists
from pwrank.ingest import land_drops
from pwrank.published_refs import NightRefs
from pwrank.run import Run
from tasks.measuring import logger, measured
from tasks.progress import note_start, progress_bar
from tasks.retries import STAGE


@task(name="hold-out", **STAGE)
def hold_out(config: Config, rule: SplitRule, end: date | None, now: datetime) -> BoardSplit:
    """Source -> a lake without the held-out interactions, and those beside it."""
    store = open_landed(config)
    note_start("hold out")
    with progress_bar("hold out", "files") as progress:
        land_drops(store, config, now=now, progress=progress)
    split = split_log(config, rule, end=end, now=now)
    refuse_untunable(split, config, now)
    logger.info("hold out: %s, %s interactions", split.told(), f"{split.held_rows:,}")
    return split


@task(name="blank-texts", **STAGE)
def blank_texts(run: Run, catalogue: DatasetRef, embeddings: DatasetRef) -> DatasetRef:
    """Embeddings that say nothing, for the ablation."""
    return blank_embeddings(run, catalogue, embeddings)


@task(name="board", **STAGE)
def board(
    run: Run,
    split: BoardSplit,
    night: NightRefs,
    product: Mapping[str, ProductLists],
    baselines: Sequence[str],
) -> Board:
    """Staged lists, what the run knew, what was held out -> the board."""
    with (
        measured(run, "board") as told,
        progress_bar("baselines", "settings", fits_planned(baselines)) as progress,
    ):
        found = judge_board(run, split, night, product, baselines, progress=progress)
        told.rows = found.slices["with_history"].relevant
        told.line = f"{len(found.tuning)} baselines tuned and judged"
    return found
