"""What a night does without, step by step: named in its rows, manifest, status and page."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

import pwrank.embed
import pwrank.train
from pwrank.embed import content_hashes, embed
from pwrank.encoder.parts import read_embeddings
from pwrank.errors import ContractError, GateRefusedError, ModelUnavailableError
from pwrank.ingest import ingest
from pwrank.lists.ladder import degradations
from pwrank.publication import (
    publication_path,
    published_dates,
    read_publication,
)
from pwrank.report.night import write_night_report
from tests.library.lively_world import NEXT_NOW, PEOPLE, TOMORROW, TONIGHT, lively_items
from tests.library.tiny_world import stage_night

DAILY = {"train": {"every_days": 1}}


@pytest.fixture
def world(lively_world, tmp_path):
    """A world whose encoder may be damaged."""
    model = tmp_path / "encoder"
    shutil.copytree(lively_world.model, model)
    lively_world.model = model
    return lively_world


def night_of(world, **sections):
    return stage_night(world.run(as_of=TOMORROW, now=NEXT_NOW, **sections))


def sources(night) -> dict[str, int]:
    return dict(night.rankings["source"].value_counts().iter_rows())


def without_encoder(world):
    """No model in the folder that the configuration names, as in the nights before."""
    shutil.rmtree(world.store.control / "manifests" / "embeddings")
    stage_night(world.run(as_of=TONIGHT, now=NEXT_NOW))
    (world.model / "model.safetensors").unlink()


def embeddings_gate(world) -> str:
    """What the gate said of the embeddings of the published night."""
    gates = read_publication(world.store, TOMORROW)["gates"]
    return next(gate["figure"] for gate in gates if gate["gate"] == "embeddings")


def new_items(world, count):
    """So many items more, whose texts nobody has encoded, and users who took to them."""
    texts = [{**item, "item_id": f"n{n:02d}"} for n, item in enumerate(lively_items(count))]
    for number, item in enumerate(texts):
        item["title"] = f"never encoded {number}"
    world.write_items([*lively_items(), *texts])
    liked = [
        (person, f"n{number % count:02d}", f"{TONIGHT}T2{number % 3}:00:00Z", 5, "view")
        for number, person in enumerate(PEOPLE[:60])
    ]
    world.write_drop(f"{TONIGHT}-new.csv", liked)


@pytest.mark.parametrize("damage", [None, b"", b"\x10\x00\x00\x00\x00\x00\x00\x00{cut"])
def test_without_an_encoder_the_last_good_vectors_stand_in(world, damage):
    healthy = night_of(world).rankings
    shutil.rmtree(world.store.lake / "staged" / f"as_of={TOMORROW}")
    without_encoder(world)
    if damage is not None:
        (world.model / "model.safetensors").write_bytes(damage)
    night = night_of(world)
    told = night.refs.embeddings.figures
    assert (told["texts_left"], told["texts_encoded"]) == (0, 0)
    assert told["seen_until"] == night.refs.catalogue.figures["seen_until"]
    assert told["seen_until"]["ingested_at"]
    assert told["degraded"].startswith("last good vectors, 0 texts have none: [encoder] model")
    assert night.rankings.equals(healthy)
    night.publish()
    publication = read_publication(world.store, TOMORROW)
    assert set(publication["degraded"]) == {"embeddings"}
    assert embeddings_gate(world) == "not checked: no encoder"


def test_items_without_a_vector_are_ranked_without_counted_and_done_later(world):
    without_encoder(world)
    new_items(world, 6)
    night = night_of(world, score={"k": 100, "candidates": 126})
    assert night.refs.embeddings.figures["texts_left"] == 6
    rows = night.rankings
    blind = rows.filter(pl.col("source") == "ranker_no_vector")
    assert blind.height > 0
    assert set(blind["item_id"]) == {item for item in rows["item_id"] if item.startswith("n")}
    night.publish()
    why = read_publication(world.store, TOMORROW)["degraded"]["embeddings"]
    assert why.startswith("last good vectors, 6 texts have none")


def test_an_encoder_that_fails_half_way_is_as_good_as_none(world, monkeypatch):
    new_items(world, 6)

    def fails(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("pwrank.encoder.text_encoder.TextEncoder.encode", fails)
    night = night_of(world)
    assert night.refs.embeddings.figures["degraded"].endswith("out of memory")
    night.publish()
    monkeypatch.undo()
    healed = night_of(world)
    assert "degraded" not in healed.refs.embeddings.figures
    assert healed.refs.embeddings.figures["texts_encoded"] == 6
    assert healed.staged.key != night.staged.key


def test_vectors_that_cannot_be_used_are_none(world, monkeypatch):
    new_items(world, 2)
    real = pwrank.embed.TextEncoder.encode
    monkeypatch.setattr(
        pwrank.embed.TextEncoder, "encode", lambda *a, **k: real(*a, **k) * float("nan")
    )
    night = night_of(world)
    assert "not finite or not of unit norm" in night.refs.embeddings.figures["degraded"]
    night.publish()
    assert embeddings_gate(world) == "not checked: no encoder"


def test_a_folder_named_by_a_relative_path_is_known_by_it_when_it_is_gone(world):
    inside = world.folder / "models" / "encoder"
    shutil.copytree(world.model, inside)
    shutil.rmtree(world.store.control / "manifests" / "embeddings")
    encoder = {"model": "./models/encoder"}
    stage_night(world.run(as_of=TONIGHT, now=NEXT_NOW, encoder=encoder))
    shutil.rmtree(inside)
    run = world.run(as_of=TOMORROW, now=NEXT_NOW, encoder=encoder)
    ref = embed(run.store, ingest(run).catalogue, run.config, as_of=run.as_of)
    assert "degraded" in ref.figures


def test_a_lake_that_never_had_vectors_cannot_do_without_an_encoder(world):
    shutil.rmtree(world.store.lake)
    (world.model / "model.safetensors").unlink()
    run = world.run(as_of=TOMORROW, now=NEXT_NOW)
    with pytest.raises(ModelUnavailableError):
        embed(run.store, ingest(run).catalogue, run.config, as_of=run.as_of)


def test_the_vectors_of_another_encoder_do_not_stand_in(world):
    run = world.run(as_of=TOMORROW, now=NEXT_NOW, encoder={"model": "/no/such/folder"})
    with pytest.raises(ModelUnavailableError):
        embed(run.store, ingest(run).catalogue, run.config, as_of=run.as_of)


def failing_training(monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(pwrank.train, "fit_ranker", fails)


def test_without_a_new_model_the_last_good_one_stands_in(world, monkeypatch):
    failing_training(monkeypatch, RuntimeError("loss is not finite"))
    night = night_of(world, **DAILY)
    assert night.refs.model.as_of == TONIGHT
    assert set(sources(night)) <= {"ranker_stale_model", "explore", "popular"}
    assert sources(night)["ranker_stale_model"] > 0
    night.publish()
    told = read_publication(world.store, TOMORROW)
    assert told["degraded"] == {
        "model": f"the last good model, of {TONIGHT}; a new one could not be trained: "
        "loss is not finite"
    }
    metrics = night.evaluate()
    page = write_night_report(
        night.run, night.refs, staged=night.staged, metrics=metrics, gates=[], refusal=None
    ).read_text(encoding="utf-8")
    assert "Degraded" in page
    assert "loss is not finite" in page
    monkeypatch.undo()
    healed = night_of(world, **DAILY)
    assert healed.refs.model.as_of == TOMORROW
    assert "ranker_stale_model" not in sources(healed)


def test_a_stand_in_is_not_the_ranker_of_record_of_a_retired_date_either(world, monkeypatch):
    failing_training(monkeypatch, RuntimeError("loss is not finite"))
    night_of(world, **DAILY).publish()
    monkeypatch.undo()
    publication_path(world.store, TOMORROW).unlink()
    assert night_of(world, **DAILY).refs.model.as_of == TOMORROW


def test_what_stands_in_for_nothing_is_nothing_also_when_vectors_come_later(world):
    night = night_of(world)
    hashes = content_hashes(world.store, night.refs.catalogue).to_list()
    nothing = replace(night.refs.embeddings, files=())
    assert np.any(read_embeddings(world.store, night.refs.embeddings, hashes))
    assert not np.any(read_embeddings(world.store, nothing, hashes))


def test_what_a_second_try_may_heal_and_what_was_asked_for_is_raised(world, monkeypatch):
    failing_training(monkeypatch, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output error"):
        night_of(world, **DAILY)
    failing_training(monkeypatch, RuntimeError("broken"))
    night = stage_night(world.run(as_of=TONIGHT, now=NEXT_NOW))
    refs = night.refs
    with pytest.raises(RuntimeError, match="broken"):
        pwrank.train.train(
            world.run(as_of=TOMORROW, now=NEXT_NOW),
            histories=refs.histories,
            catalogue=refs.catalogue,
            embeddings=refs.embeddings,
            force=True,
        )


def test_a_model_that_is_too_old_is_below_the_floor(world, monkeypatch):
    failing_training(monkeypatch, RuntimeError("broken"))
    night = night_of(world, gates={"max_stale_days": 0}, **DAILY)
    night.publish()
    late = TOMORROW + timedelta(days=2)
    night = stage_night(world.run(as_of=late, now=NEXT_NOW, gates={"max_stale_days": 0}, **DAILY))
    with pytest.raises(GateRefusedError, match="gate “stale model”: trained as of 2024-04-10, 2"):
        night.publish()
    assert published_dates(world.store) == [TONIGHT, TOMORROW]


STRICT = {"gates": {"min_against_champion": 99.0}}
"""No model is so much better than the one before."""


def refused_night(world, **sections):
    """A night whose new model is refused by its gate."""
    night = stage_night(world.run(as_of=TOMORROW, now=NEXT_NOW, **DAILY, **STRICT, **sections))
    assert night.refs.model.as_of == TOMORROW
    with pytest.raises(GateRefusedError, match="gate “validation”: NDCG@10 "):
        night.publish()
    return night


def test_nights_to_come_pass_over_a_model_that_its_gate_refused_and_say_so(world):
    refused = refused_night(world)
    late = TOMORROW + timedelta(days=1)
    night = stage_night(world.run(as_of=late, now=NEXT_NOW))
    assert night.refs.model.as_of == TONIGHT
    told = night.refs.model.figures["passed_over"]
    assert told.startswith(f"the model of {TOMORROW} is passed over: gate “validation”: NDCG@10 ")
    assert "degraded" not in night.refs.model.figures
    night.publish()
    assert read_publication(world.store, late)["inputs"]["model"]["figures"]["passed_over"] == told
    # Where one is due it is trained anew, with the last accepted one for its champion.
    night = stage_night(world.run(as_of=late + timedelta(days=1), now=NEXT_NOW, **DAILY))
    assert night.refs.model.as_of == late + timedelta(days=1)
    assert night.refs.model.figures["champion"] != refused.refs.model.key
    assert night.refs.model.figures["passed_over"] == told


def test_a_refused_model_that_is_published_by_name_is_no_longer_passed_over(world):
    refused = refused_night(world)
    settings = {**DAILY, **STRICT}
    again = stage_night(world.run(as_of=TOMORROW, now=NEXT_NOW, **settings))
    assert again.refs.model.key == refused.refs.model.key
    why = {"validation": "popularity was a fluke that week"}
    stage_night(world.run(as_of=TOMORROW, now=NEXT_NOW, overrides=why, **settings)).publish()
    night = stage_night(world.run(as_of=TOMORROW + timedelta(days=1), now=NEXT_NOW))
    assert night.refs.model.key == refused.refs.model.key
    assert {"refused", "passed_over"}.isdisjoint(night.refs.model.figures)


def test_a_model_behind_a_published_night_is_not_blamed_for_a_bad_one(world):
    night = night_of(world, gates={"min_against_popularity": 99.0})
    with pytest.raises(GateRefusedError, match="gate “model at work”"):
        night.publish()
    assert "refused" not in world.store.reuse("models", TONIGHT, night.refs.model.key).figures


def test_too_many_items_without_a_vector_are_below_the_floor(world):
    without_encoder(world)
    night = night_of(world, encoder={"model": str(world.model), "text_template": "{title}"})
    assert night.refs.embeddings.figures["texts_left"] == 120
    assert set(sources(night)) <= {"ranker_no_vector", "explore", "popular"}
    with pytest.raises(
        GateRefusedError, match=r"gate “items without vector”: 1\.0000 of the first"
    ):
        night.publish()


def test_an_approximate_index_that_cannot_be_built_is_an_exact_one(world, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("Error in faiss: too few points")

    exact = night_of(world).rankings
    monkeypatch.setattr("pwrank.lists.retrieval.faiss.IndexIVFFlat", fails)
    night = night_of(world, index={"kind": "ivf"})
    told = night.refs.index.figures
    assert told["kind"] == "exact"
    assert told["degraded"].endswith("too few points")
    assert night.rankings.equals(exact)
    night.publish()
    assert set(read_publication(world.store, TOMORROW)["degraded"]) == {"index"}
    monkeypatch.undo()
    assert "degraded" not in night_of(world, index={"kind": "ivf"}).refs.index.figures


def test_an_index_that_is_damaged_before_it_is_used_is_replaced_by_exact_search(world):
    whole = night_of(world, index={"kind": "ivf"})
    for path in whole.staged.file_paths(world.store.lake):
        path.unlink()
    path = world.store.lake / whole.refs.index.path / "items.faiss"
    path.write_bytes(path.read_bytes()[:100])
    assert set(degradations(world.store, whole.refs)) == {"index"}
    from pwrank.score import score_shard

    for shard in range(2):
        score_shard(whole.run, whole.refs, shard=shard)
    rankings = pl.read_parquet(whole.staged.file_paths(world.store.lake))
    whole.publish()
    assert "exact search" in read_publication(world.store, TOMORROW)["degraded"]["index"]
    again = night_of(world, index={"kind": "ivf"})
    assert again.rankings.equals(rankings)
    assert degradations(world.store, again.refs) == {}


def test_a_contract_that_is_broken_elsewhere_is_not_taken_for_the_encoder(world, monkeypatch):
    def broken(*_, **__):
        raise ContractError("catalogue: no content_hash")

    run = world.run(as_of=TOMORROW, now=NEXT_NOW)
    catalogue = ingest(run).catalogue
    monkeypatch.setattr("pwrank.embed.content_hashes", broken)
    with pytest.raises(ContractError, match="no content_hash"):
        embed(run.store, catalogue, run.config, as_of=run.as_of)
