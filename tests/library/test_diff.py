"""Two published dates beside each other: how much changed, and which factor is to blame."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import polars as pl
import pytest

from pwrank.comparison.attribution import Stages, attribute
from pwrank.comparison.lake import compare_dates, sample_of
from pwrank.comparison.published import change, compare
from pwrank.errors import LakeError
from pwrank.index import index
from pwrank.publication import publication_path, read_publication, read_rankings
from pwrank.score import score_shard
from pwrank.store import read_json, write_json
from tests.library.tiny_world import AS_OF, World, some_items, stage_night

NEXT = AS_OF + timedelta(days=1)
STAGES = Stages(index, score_shard)


@pytest.fixture
def world(published_world, tmp_path) -> World:
    """One published night, to which a second is added."""
    shutil.copytree(published_world.folder, tmp_path / "world")
    return World(tmp_path / "world", published_world.model)


def publish_next(world, **sections):
    """Tomorrow's night with these settings."""
    night = stage_night(world.run(as_of=NEXT, **sections))
    night.publish()
    return night


def blame(world, tmp_path, users=16):
    """Effect by factor of what changed between the two nights."""
    store = world.store
    told = (read_publication(store, AS_OF), read_publication(store, NEXT))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return attribute(
        store,
        told,
        (read_rankings(store.lake, AS_OF), read_rankings(store.lake, NEXT)),
        sample_of(store, (AS_OF, NEXT), users),
        config=world.configure(),
        stages=STAGES,
        scratch=scratch,
    )


def factors(why):
    return {factor.name: factor for factor in why.factors}


def test_the_rules_alone_are_blamed_when_only_they_changed(world, tmp_path):
    publish_next(world, rerank={"diversity": 0.9})
    why = blame(world, tmp_path)
    told = factors(why)
    assert told["rules"].changed
    assert told["rules"].effect.rbo < 1
    assert not told["model"].changed
    assert not told["index"].changed
    assert told["model"].effect is None
    assert {change.unchanged for change in why.reproduced.values()} == {1.0}


def test_the_model_alone_is_blamed_when_only_it_changed(world, tmp_path):
    publish_next(world, train={"dim": 8})
    told = factors(blame(world, tmp_path))
    assert told["model"].changed
    assert told["model"].effect.rbo < 1
    assert not told["rules"].changed


def test_the_catalogue_is_blamed_when_texts_were_swapped(world, tmp_path):
    items = some_items()
    texts = [(item["title"], item["text"]) for item in items]
    for item, (title, text) in zip(items, reversed(texts), strict=True):
        item |= {"title": title, "text": text}
    world.write_items(items)
    publish_next(world )  # fmt: skip
    told = factors(blame(world, tmp_path))
    assert told["catalogue"].changed
    assert told["catalogue"].effect is not None
    assert not told["model"].changed


def test_other_settings_of_the_index_are_told_apart_from_what_it_holds(world, tmp_path):
    publish_next(world, index={"sample_users": 8})
    told = factors(blame(world, tmp_path))
    assert told["index"].changed
    assert told["index"].effect.unchanged == 1.0


def test_all_at_once_is_what_was_published(world, tmp_path):
    publish_next(world, rerank={"diversity": 0.9}, train={"dim": 8})
    why = blame(world, tmp_path)
    lists = [read_rankings(world.store.lake, day).collect() for day in (AS_OF, NEXT)]
    assert why.together == change(*lists)
    assert why.together.users == 16


def test_nothing_is_written_to_the_lake(world, tmp_path):
    publish_next(world)
    before = {p: p.stat().st_mtime_ns for p in world.store.lake.rglob("*") if p.is_file()}
    blame(world, tmp_path)
    shutil.rmtree(tmp_path / "scratch")
    after = {p: p.stat().st_mtime_ns for p in world.store.lake.rglob("*") if p.is_file()}
    assert after == before


def test_what_retention_removed_is_named_and_the_rest_is_still_told(world, tmp_path):
    first = stage_night(world.run())
    publish_next(world, rerank={"diversity": 0.9})
    world.store.remove(first.refs.histories)
    why = blame(world, tmp_path)
    told = factors(why)
    assert told["data"].gone == f"the histories of {AS_OF} are no longer in the lake"
    assert told["data"].effect is None
    assert told["rules"].effect.rbo < 1
    assert why.reproduced == {}


def test_a_part_that_both_dates_have_lost_is_named_and_nothing_scored(world, tmp_path):
    first = stage_night(world.run())
    second = publish_next(world)
    for night in (first, second):
        world.store.remove(night.refs.catalogue)
    why = blame(world, tmp_path)
    assert "the catalogue of 2024-03-" in why
    assert "nothing can be scored again" in why


def test_another_encoder_is_told_together_with_its_model(world, tmp_path):
    publish_next(world, encoder={"prompt": "an item: ", "device": "cpu"})
    told = factors(blame(world, tmp_path))
    assert set(told) == {"data", "encoder and model", "index", "rules"}
    assert told["encoder and model"].effect.rbo < 1


def test_settings_of_another_version_are_said_to_be_so(world, tmp_path):
    publish_next(world)
    path = publication_path(world.store, AS_OF)
    told = read_json(path)
    told["config"]["score"]["from_the_future"] = 1
    write_json(path, told)
    with pytest.raises(LakeError, match="settings that this version does not know"):
        blame(world, tmp_path)


# --- the lists themselves ------------------------------------------------------------------


def lists(rows) -> pl.LazyFrame:
    """user -> items, all from `ranker` but for users that begin with p."""
    told = [
        (user, rank, item, "popular" if user.startswith("p") else "ranker")
        for user, items in rows.items()
        for rank, item in enumerate(items, 1)
    ]
    schema = {"user_id": pl.String, "rank": pl.UInt16, "item_id": pl.String, "source": pl.String}
    return pl.LazyFrame(told, schema, orient="row")


def test_users_items_and_segments_are_counted():
    before = lists({"a": "xy", "b": "xy", "p": "xy", "gone": "x"})
    after = lists({"a": "xy", "b": "zw", "p": "yx", "new": "x", "newer": "x"})
    lengths = pl.DataFrame({"user_id": ["a", "b"], "interactions": [3, 30]})
    told = compare(before, after, lengths=lengths, titles=None)
    assert told["users"] == {"in_both": 3, "new": 2, "gone": 1}
    assert told["lists"]["users"] == 3
    assert told["lists"]["unchanged_share@10"] == pytest.approx(1 / 3)
    assert told["by_source"]["popular"]["jaccard@10"] == 1.0
    assert told["by_source"]["popular"]["rbo@10"] < 1
    assert told["by_source"]["ranker"]["users"] == 2
    assert {name: part["users"] for name, part in told["by_history"].items()} == {
        "0": 1, "1 to 4": 1, "20 or more": 1,
    }  # fmt: skip
    assert told["items"] == {"in": 2, "out": 0, "listed": 4}
    assert [(row["item_id"], row["a"], row["b"]) for row in told["less"]] == [
        ("x", 3, 2), ("y", 3, 2),
    ]  # fmt: skip


def test_lists_of_nobody_in_common_are_no_error():
    told = compare(lists({"a": "x"}), lists({"b": "x"}), lengths=None, titles=None)
    assert told["users"] == {"in_both": 0, "new": 1, "gone": 1}
    assert told["by_source"] == {}


def test_an_exchanged_list_is_not_compared(world):
    publish_next(world)
    told = read_publication(world.store, AS_OF)
    part = world.store.lake / told["staged_path"] / told["parts"][0]["file"]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 0xFF
    part.write_bytes(content)
    with pytest.raises(LakeError, match="not the file that was written"):
        compare_dates(world.store, (told, read_publication(world.store, NEXT)))


# --- the command ---------------------------------------------------------------------------


def test_the_command_tells_how_much_and_why(world, command):
    publish_next(world, rerank={"diversity": 0.9})
    world.configure()
    told = command("diff", AS_OF, NEXT, "--config", world.config_file, "--sample-users", "8")
    assert told.code == 0, told.err
    assert "16 users with a list on both, 0 new, 0 gone" in told.out
    assert "why: 8 users scored again" in told.out
    lines = {line.split("  ")[0]: line for line in told.out.splitlines()}
    assert "the same on both dates" in lines["model"]
    assert "0." in lines["rules"]
    data = json.loads(command("diff", AS_OF, NEXT, "--config", world.config_file, "--json").out)
    assert data["why"]["factors"]["rules"]["changed"]
    assert data["why"]["together"]["users"] == 16


def test_the_very_same_date_has_not_changed(world, command):
    world.configure()
    data = json.loads(command("diff", AS_OF, AS_OF, "--config", world.config_file, "--json").out)
    assert data["lists"]["unchanged_share@10"] == 1.0
    assert not any(factor["changed"] for factor in data["why"]["factors"].values())


def test_dates_in_the_wrong_order_are_refused(world, command):
    world.configure()
    told = command("diff", NEXT, AS_OF, "--config", world.config_file)
    told.refuses(["the first date is the later one", "swap them"])


def test_a_date_that_was_never_published_is_named(world, command):
    world.configure()
    told = command("diff", AS_OF, NEXT, "--config", world.config_file)
    told.refuses(["2024-03-09 is not published"])
