"""The floor of a degraded night: below it, yesterday's good lists are better than tonight's."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pwrank.evaluation.list_figures import FIRST_RANKS
from pwrank.gates.rows import ShardCheck
from pwrank.gates.verdicts import Verdict
from pwrank.lists.ladder import items_without_vector
from pwrank.published_refs import NightRefs
from pwrank.run import Run


def judge_floor(run: Run, night: NightRefs, checks: Sequence[ShardCheck]) -> list[Verdict]:
    """How old the model may get, and how many places may go to items without a vector."""
    shown = [check.shown for check in checks]
    places = [frame for frames in shown for frame in frames]
    return [_model_age(run, night), _without_vector(run, night, places)]


def _model_age(run: Run, night: NightRefs) -> Verdict:
    trained = night.model.as_of or run.as_of
    late = (run.as_of - trained).days - run.config.train.every_days
    most = run.config.gates.max_stale_days
    return Verdict(
        "stale model",
        late <= most,
        f"trained as of {trained}, {max(late, 0)} days past its turn",
        f"at most {most} days",
        f"model {night.model.figures['model_version']}",
    )


def _without_vector(run: Run, night: NightRefs, places: Sequence[pl.DataFrame]) -> Verdict:
    without = items_without_vector(run.store, night)
    counts = pl.concat(places).group_by("item_id").agg(pl.col("places").sum())
    blind = counts.join(without.to_frame("item_id"), on="item_id", how="semi")
    blind = blind.sort("places", "item_id", descending=[True, False])
    share = int(blind["places"].sum()) / max(int(counts["places"].sum()), 1)
    most = run.config.gates.max_without_vector
    return Verdict(
        "items without vector",
        share <= most,
        f"{share:.4f} of the first {FIRST_RANKS} places, {len(without):,} items in all",
        f"at most {most}",
        f"item {blind['item_id'][0]!r}" if blind.height else "",
    )
