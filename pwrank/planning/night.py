"""The plan of a night: what each stage has to do, and what that takes on this machine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from pwrank.config_file import section_hash
from pwrank.encoder.text_encoder import identify_encoder
from pwrank.plan_log import NightPlan, StagePlan
from pwrank.planning import earlier
from pwrank.planning.calibration import EmbedRate, ScoreRate, measure_encoder, measure_scoring
from pwrank.planning.counts import Counts, count_night
from pwrank.planning.incoming import Clock, Waiting, known_drops
from pwrank.planning.reusable import Reusable, find_reusable
from pwrank.planning.sample_world import SampleWorld, sample_world
from pwrank.ranker.training_cost import (
    EXPECTED_SHARE,
    TrainingCost,
    best_epochs,
    final_epochs,
    measure_training,
    search_epochs,
    training_bytes,
)
from pwrank.ranker.user_blocks import BLOCK_USERS
from pwrank.ranker.weights import load_ranker
from pwrank.run import Run
from pwrank.stage_log import StageRecord
from pwrank.store import Store, fingerprint, scratch_folder
from pwrank.train import model_kind

SHARE_BYTES = 12_000_000
"""Of each table, landed for the plan: about two seconds of work."""

ROW_BYTES = 6
"""Of a published row."""

VIEW_ROW_SECONDS = 2e-6
START_SECONDS = {"evaluate": 0.1, "publish": 1.8}
ROW_SECONDS = {"evaluate": 2e-7, "publish": 8e-7}
"""Assumed until a night of this lake says better; small beside the rest."""

STEP_SECONDS = 0.1
"""Of a stage that finds its work done."""


@dataclass(frozen=True)
class Measure:
    """What the library does not know by itself."""

    clock: Clock
    memory: Callable[[], int]
    """Largest resident memory of this process so far, in bytes."""
    calibrate: bool
    """Whether what earlier nights do not tell is measured now."""
    tell: Callable[[str], None]
    """Called with what begins now and may take seconds."""
    share_bytes: int = SHARE_BYTES


@dataclass(frozen=True)
class _Night:
    """What the estimates of all stages read."""

    run: Run
    counts: Counts
    done: Reusable
    records: dict[str, StageRecord]
    measure: Measure
    world: Callable[[], SampleWorld | None]


def plan_inputs(run: Run, waiting: list[Waiting], *, force: bool) -> str:
    """Names what a plan is made from: files, landed drops, configuration, what is done."""
    files = [(w.table, p.file.name, p.size, p.mtime_ns) for w in waiting for p in w.files]
    drops = [drop.id for table in waiting for drop in known_drops(run, table)]
    return fingerprint(files, drops, section_hash(run.config), run.as_of, force)


def plan_night(
    run: Run, measure: Measure, waiting: list[Waiting], *, force: bool = False
) -> NightPlan:
    """Say what the night will do and take; writes nothing that stays. waiting: `find_waiting`."""
    done = find_reusable(run, waiting, force=force)
    with scratch_folder(run.store.lake) as folder:
        scratch = Store(folder)
        counts = count_night(
            run, waiting, scratch, done, most_bytes=measure.share_bytes, clock=measure.clock
        )
        world = functools.cache(lambda: sample_world(run, counts, done, scratch, measure.clock))
        night = _Night(run, counts, done, earlier.earlier_records(run), measure, world)
        stages = _stages(night)
    measured = "measured now" if measure.calibrate else "earlier nights"
    return NightPlan(run.as_of, plan_inputs(run, waiting, force=force), measured, tuple(stages))


def _stages(night: _Night) -> list[StagePlan]:
    ingest = _ingest(night)
    embed = _embed(night)
    train, cost = _train(night)
    index, score = _index_and_score(night, cost)
    plans = [ingest, embed, train, index, score, _finish(night, "evaluate")]
    plans.append(_finish(night, "publish"))
    peak, kept = 0, []
    for plan in plans:
        peak = max(peak, plan.peak_bytes or 0)
        kept.append(replace(plan, peak_bytes=peak or None))
    return kept


def _ingest(night: _Night) -> StagePlan:
    counts, done = night.counts, night.done
    work = {
        "files": counts.files,
        "rows": counts.rows_in,
        "rejected": counts.rejected,
        "interactions": counts.interactions,
        "users": counts.users,
        "items": counts.items,
    }
    peak = night.measure.memory() + 3 * counts.bytes_in
    if done.histories and done.catalogue:
        return StagePlan("ingest", True, "nothing new", work, seconds=STEP_SECONDS, peak_bytes=peak)
    views = counts.view_seconds
    if views is None:
        views = earlier.view_seconds(night.records.get("ingest"), counts.interactions)
    if views is None:
        views = VIEW_ROW_SECONDS * counts.interactions
    why = f"{counts.files} files are new or changed" if counts.files else "another date"
    return StagePlan(
        "ingest",
        False,
        why,
        work,
        bytes=2 * counts.bytes_in + 50 * counts.interactions,
        seconds=STEP_SECONDS + counts.landing_seconds + views,
        peak_bytes=peak,
    )


def _embed(night: _Night) -> StagePlan:
    counts, config = night.counts, night.run.config
    missing = counts.texts_missing
    if night.done.embeddings or not missing:
        why = "every text has its vector" if not missing else "nothing new"
        work = {"texts": counts.texts, "texts_to_encode": 0}
        reused = night.done.embeddings is not None
        return StagePlan("embed", reused, why, work, seconds=STEP_SECONDS)
    record = night.records.get("embed")
    rate: EmbedRate | None = None
    if night.measure.calibrate and len(counts.sample):
        night.measure.tell("timing the encoder")
        rate = measure_encoder(counts.sample["text"], config, night.measure.clock)
    each = rate.tokens_per_text if rate else earlier.tokens_per_text(record) or 0.0
    seconds = earlier.embed_seconds(record, each * missing)
    if rate:
        seconds = rate.loading + rate.token * each * missing
    width = identify_encoder(config.encoder).files.width
    return StagePlan(
        "embed",
        False,
        f"{missing:,} of {counts.texts:,} texts have no vector yet",
        {"texts": counts.texts, "texts_to_encode": missing, "tokens": round(each * missing)},
        flops=rate.flops_per_text * missing if rate else 0.0,
        bytes=missing * (4 * width + 64),
        seconds=seconds,
        peak_bytes=night.measure.memory(),
    )


def _train(night: _Night) -> tuple[StagePlan, TrainingCost | None]:
    counts, run, done = night.counts, night.run, night.done
    config = run.config.train
    if done.why_train is None:
        told = done.model.figures["model_version"] if done.model else ""
        plan = StagePlan("train", True, f"model {told} will do", seconds=STEP_SECONDS)
        return plan, None
    before = night.measure.memory()
    record = night.records.get("train")
    kind = model_kind(run.config, identify_encoder(run.config.encoder).key)
    known = earlier.training_seconds(record, kind, counts.interactions)
    best = earlier.best_epochs(record, run.config)
    cost, together = None, counts.items
    if known is None and night.measure.calibrate and (world := night.world()):
        night.measure.tell("timing a small training")
        cost = measure_training(
            world.log,
            world.catalogue,
            cut=int(run.cut.timestamp()),
            config=config,
            seed=run.config.seed,
            clock=night.measure.clock,
        )
        read = min(1.0, config.epoch_rows / max(counts.interactions, 1)) / world.interactions_share
        known = cost.epoch_seconds * read, cost.other_seconds / world.items_share
        best = best or best_epochs(cost, counts.interactions, config)
        together = round(cost.together / world.items_share)
    best = best or config.epochs * EXPECTED_SHARE
    search, final, most = search_epochs(best, config), final_epochs(best), 2 * config.epochs
    expected = search + final
    flops = cost.epoch_flops * read * expected + cost.other_flops if cost else 0.0
    work = {
        "interactions": counts.interactions,
        "search_epochs": search,
        "search_epochs_most": config.epochs,
        "final_epochs": final,
        "final_epochs_most": config.epochs,
    }
    plan = StagePlan("train", False, done.why_train, work)
    extra = training_bytes(counts.items, min(together, config.ease_items), config)
    plan = replace(plan, peak_bytes=before + extra)
    if known is None:
        return plan, None
    epoch, besides = known
    work |= {"seconds_per_epoch": epoch, "seconds_besides": besides}
    seconds, longest = besides + expected * epoch, besides + most * epoch
    plan = replace(plan, work=work, flops=flops, seconds=seconds, seconds_most=longest)
    return plan, cost


def _index_and_score(night: _Night, cost: TrainingCost | None) -> tuple[StagePlan, StagePlan]:
    counts, config = night.counts, night.run.config
    wanted, users = config.score.width, counts.users
    pairs, rows = users * wanted, users * min(config.score.k, counts.items)
    record, earlier_index = night.records.get("score"), night.records.get("index")
    seconds = earlier.scoring_seconds(record, pairs)
    building = earlier.in_proportion(earlier_index, counts.items)
    rate: ScoreRate | None = None
    if night.measure.calibrate and (seconds is None or building is None):
        rate = _measure_scoring(night, cost)
    if rate:
        # Measured with all threads; shards beside each other share them, and are added up.
        beside = min(config.runtime.shards_at_once, config.score.shards)
        seconds = beside * (rate.user * users + STEP_SECONDS * config.score.shards)
        building = rate.index + STEP_SECONDS
    width = config.train.dim
    per_pair = 2 * config.train.pair_hidden * (config.train.pair_hidden + 1)
    found = night.done.index is not None
    index = StagePlan(
        "index",
        found,
        "nothing new" if found else "items, their popularity or the model moved",
        {"items": counts.items},
        flops=0.0 if found else 2.0 * counts.items * width * width,
        bytes=0 if found else 8 * counts.items * width,
        seconds=STEP_SECONDS if found else building,
        peak_bytes=night.measure.memory(),
    )
    left = 1 - night.done.shards_done / config.score.shards
    at_once = config.runtime.shards_at_once * BLOCK_USERS
    raised = f", candidates raised to k = {wanted}" if wanted > config.score.candidates else ""
    score = StagePlan(
        "score",
        left == 0,
        f"{round(left * config.score.shards)} of {config.score.shards} shards{raised}",
        {"users": round(users * left), "pairs": round(pairs * left), "rows": round(rows * left)},
        flops=left * users * (2.0 * counts.items * width + wanted * per_pair),
        bytes=round(ROW_BYTES * rows * left),
        seconds=STEP_SECONDS if left == 0 else None if seconds is None else seconds * left,
        peak_bytes=night.measure.memory() + 400 * at_once * wanted,
    )
    return index, score


def _measure_scoring(night: _Night, cost: TrainingCost | None) -> ScoreRate | None:
    world = night.world()
    if world is None:
        return None
    ranker = cost.ranker if cost else None
    if ranker is None and night.done.model:
        ranker = load_ranker(night.run.store.lake / night.done.model.path)
    if ranker is None:
        return None
    night.measure.tell("timing the scoring")
    rate = measure_scoring(
        ranker,
        world.log,
        world.catalogue,
        night.run.config,
        users=-(-night.counts.users // night.run.config.score.shards),
        clock=night.measure.clock,
    )
    return ScoreRate((world.seconds + rate.index) / world.items_share, rate.user)


def _finish(night: _Night, stage: str) -> StagePlan:
    counts, config = night.counts, night.run.config
    rows = counts.users * min(config.score.k, counts.items)
    seconds = START_SECONDS[stage] + ROW_SECONDS[stage] * rows
    record = night.records.get(stage)
    if record and record.rows:
        seconds = earlier.in_proportion(record, rows) or seconds
    published = night.done.published
    why = "nothing new" if published else "new lists"
    work = {"users": counts.users, "rows": rows}
    seconds = STEP_SECONDS if published else seconds
    return StagePlan(stage, published, why, work, bytes=ROW_BYTES * rows, seconds=seconds)
