"""Nights gone wrong: each is stopped by a gate that says so, or changes nothing."""

from __future__ import annotations

import dataclasses
import re
import shutil
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
import torch

import pwrank.train
from pwrank.errors import GateRefusedError
from pwrank.publication import published_dates, read_current, read_rankings
from tests.library.lively_world import (
    FIRST_NOW,
    KNOWN_DAYS,
    NEXT_NOW,
    START,
    TOMORROW,
    TONIGHT,
    lively_interactions,
    lively_items,
)
from tests.library.test_publish import staged_copy
from tests.library.tiny_models import tiny_model
from tests.library.tiny_world import World, stage_night


@pytest.fixture
def world(lively_world) -> World:
    return lively_world


def next_night(world, **sections):
    return stage_night(world.run(as_of=TOMORROW, now=NEXT_NOW, **sections))


def lists_of(night) -> pl.DataFrame:
    return night.rankings.drop("as_of_date", "model_version")


def assert_stopped(act, world, *gates) -> GateRefusedError:
    """`act` is refused by at least these gates, and readers see the last good night."""
    before = read_rankings(world.store.lake).collect()
    with pytest.raises(GateRefusedError) as caught:
        act()
    refused = {gate["gate"] for gate in caught.value.gates if not gate["passed"]}
    assert set(gates) <= refused, refused
    for gate in gates:
        assert f"gate “{gate}”: " in str(caught.value)
    assert published_dates(world.store) == [TONIGHT]
    assert read_current(world.store)["as_of"] == str(TONIGHT)
    assert read_rankings(world.store.lake).collect().equals(before)
    return caught.value


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, _good_night) -> pl.DataFrame:
    """The lists of the next night without any poison."""
    folder = tmp_path_factory.mktemp("undisturbed") / "world"
    shutil.copytree(_good_night.folder, folder)
    mine = World(folder, _good_night.model, settings=_good_night.settings)
    mine.write_drop(f"{TONIGHT}.csv", lively_interactions(TONIGHT))
    night = next_night(mine)
    night.publish()
    return lists_of(night)


def test_the_honest_night_after_is_published(undisturbed):
    assert undisturbed.height == 90 * 10


def test_shuffled_embeddings(world):
    night = next_night(world)
    for path in night.refs.embeddings.file_paths(world.store.lake):
        part = pl.read_parquet(path)
        order = np.random.default_rng(1).permutation(part.height)
        part.with_columns(part["embedding"].gather(order)).write_parquet(path)
    told = assert_stopped(night.publish, world, "embeddings")
    assert re.search(r"[5678] of 8 texts have another vector", str(told))


def test_a_model_of_noise(world, monkeypatch):
    real = pwrank.train.fit_ranker

    def noise(*arguments, **options):
        ranker, figures = real(*arguments, **options)
        # Not every draw would do: chance may weigh popularity well, and lists stay alike.
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for value in ranker.parameters():
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        return ranker, figures

    monkeypatch.setattr(pwrank.train, "fit_ranker", noise)
    night = next_night(world, train={"every_days": 1})
    assert night.refs.model.as_of == TOMORROW
    assert_stopped(night.publish, world, "overlap", "churn")


def test_a_model_that_ranks_backwards(world, monkeypatch):
    real = pwrank.train.fit_ranker

    def backwards(*arguments, **options):
        ranker, figures = real(*arguments, **options)
        head = ranker.pair_scorer.head
        with torch.no_grad():
            for value in (head.fusion_scale, head.linear.weight, head.readout.weight):
                value.neg_()
        return ranker, figures

    monkeypatch.setattr(pwrank.train, "fit_ranker", backwards)
    night = next_night(world, train={"every_days": 1})
    assert_stopped(night.publish, world, "overlap", "churn")


def test_half_the_catalogue_missing(world):
    world.write_items(lively_items()[::2])
    told = assert_stopped(lambda: next_night(world), world, "catalogue size")
    assert "60 of 120 available items are gone" in str(told)


def test_all_item_texts_swapped(world):
    items = lively_items()
    texts = [(item["title"], item["text"], item["category"]) for item in items]
    for item, text in zip(items, [*texts[7:], *texts[:7]], strict=True):
        item["title"], item["text"], item["category"] = text
    world.write_items(items)
    told = assert_stopped(lambda: next_night(world), world, "item texts")
    assert "120 of 120 items bear another item's text" in str(told)


def test_a_truncated_drop(world):
    path = world.drops / f"{TONIGHT}.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 15])
    told = assert_stopped(lambda: next_night(world), world, "drop rows")
    assert f"rows for {TONIGHT}, usually 160" in str(told)
    assert f"interactions: {TONIGHT}.csv" in str(told)
    path.write_bytes(whole)
    assert next_night(world).publish().current


def test_constant_scores(world):
    night = next_night(world)
    flat = staged_copy(night, "flat", lambda part: part.with_columns(score=pl.lit(0.1, pl.Float32)))
    assert_stopped(flat.publish, world, "constant scores")


def test_one_shard_empty(world):
    night = next_night(world)
    first = night.rankings["user_id"][0]

    def without_the_first_shard(part):
        return part.clear() if first in part["user_id"] else part

    told = assert_stopped(
        staged_copy(night, "empty", without_the_first_shard).publish, world, "user coverage"
    )
    assert repr(first) in str(told)


def test_an_item_that_takes_over_all_lists(world):
    night = next_night(world)
    everywhere = pl.when(pl.col("rank") == 1).then(pl.lit("119")).otherwise("item_id")
    rest = pl.col("rank").cast(pl.Int64) > 0

    def exploded(part):
        part = part.filter(pl.col("item_id") != "119", rest)
        part = part.with_columns(
            pl.int_range(1, pl.len() + 1).over("user_id").cast(pl.UInt16).alias("rank")
        )
        return part.with_columns(everywhere.alias("item_id"))

    told = assert_stopped(
        staged_copy(night, "exploded", exploded).publish, world, "one item", "item takeover"
    )
    assert "item '119'" in str(told)


def test_an_encoder_changed_without_a_new_model(world, tmp_path, monkeypatch):
    torch.manual_seed(99)
    other = tiny_model("roberta", tmp_path / "other-encoder")
    kept = stage_night(world.run(as_of=TONIGHT, now=FIRST_NOW)).refs.model
    monkeypatch.setattr("tests.library.tiny_world.train", lambda *_, **__: kept)
    night = next_night(world, encoder={"model": str(other)})
    assert_stopped(night.publish, world, "encoder")


def test_an_encoder_that_changes_brings_a_new_model_and_does_no_harm(world, tmp_path):
    other = tiny_model("roberta", tmp_path / "other-encoder")
    night = next_night(world, encoder={"model": str(other)})
    assert night.refs.model.as_of == TOMORROW
    assert night.publish().current


def test_a_drop_that_comes_twice(world, undisturbed):
    world.write_drop(f"{TONIGHT}-copy.csv", lively_interactions(TONIGHT))
    night = next_night(world)
    assert night.publish().current
    assert lists_of(night).equals(undisturbed)


def test_yesterdays_file_again(world):
    (world.drops / f"{TONIGHT}.csv").unlink()
    alone = lists_of(next_night(world))
    last = START + timedelta(days=KNOWN_DAYS - 1)
    world.write_drop(f"{TONIGHT}.csv", lively_interactions(last))
    night = next_night(world)
    assert lists_of(night).equals(alone)
    assert night.publish().current


def test_events_of_the_future(world, undisturbed):
    rows = [
        (person, "119", (NEXT_NOW + timedelta(days=days)).isoformat(), 5, "view")
        for days in (0, 1, 400)
        for person in ("p00", "p01", "p02")
    ]
    world.write_drop(f"{TONIGHT}-future.csv", rows)
    night = next_night(world)
    assert night.publish().current
    assert lists_of(night).equals(undisturbed)


def test_a_refusal_is_overridden_by_name_and_the_reason_is_recorded(world):
    from pwrank.publication import publication_path, read_publication

    night = next_night(world)
    flat = staged_copy(night, "flat", lambda part: part.with_columns(score=pl.lit(0.1, pl.Float32)))
    reasons = {"constant scores": "a test", "score distribution": "the same"}
    told = dataclasses.replace(flat, run=dataclasses.replace(flat.run, overrides=reasons))
    assert told.publish().current
    publication = read_publication(world.store, TOMORROW)
    assert publication["overrides"] == reasons
    gates = {gate["gate"]: gate for gate in publication["gates"]}
    assert gates["constant scores"]["passed"] is False
    assert gates["constant scores"]["override"] == "a test"
    # Of these very lists it holds when their record is gone; of others it does not.
    publication_path(world.store, TOMORROW).unlink()
    other = staged_copy(
        night, "other", lambda part: part.with_columns(score=pl.lit(0.2, pl.Float32))
    )
    with pytest.raises(GateRefusedError, match="constant scores"):
        other.publish()
    flat.publish()
    assert read_publication(world.store, TOMORROW)["overrides"] == reasons
