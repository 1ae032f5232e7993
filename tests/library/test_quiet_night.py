"""A night on which little changed does little: what is read and encoded is what is new."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from pwrank.encoder.text_encoder import TextEncoder
from pwrank.landing import land
from pwrank.store import shard_of
from tests.library.tiny_world import AS_OF, NOW, some_interactions, some_items, stage_night

TOMORROW = AS_OF + timedelta(days=1)


def watch(monkeypatch):
    """Rows that are read from source files, and texts that go through the encoder."""
    seen = {"rows": 0, "texts": 0}
    read, encode = land.read_batches, TextEncoder.encode

    def reading(file, source, **options):
        for batch in read(file, source, **options):
            seen["rows"] += batch.rows.height
            yield batch

    def encoding(self, texts, **options):
        seen["texts"] += len(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(land, "read_batches", reading)
    monkeypatch.setattr(TextEncoder, "encode", encoding)
    return seen


def test_the_next_night_reads_the_new_drop_and_encodes_the_new_texts(trained_world, monkeypatch):
    stage_night(trained_world.run())
    rows = some_interactions(TOMORROW)[:2]
    trained_world.write_drop("tomorrow.csv", rows)
    changed = some_items()
    changed[0]["title"] = "word9 word8"
    trained_world.write_items([*changed, changed[1] | {"item_id": "new", "title": "word7"}])
    seen = watch(monkeypatch)
    stage_night(trained_world.run(as_of=TOMORROW, now=NOW + timedelta(days=1)))
    assert seen == {"rows": len(rows) + len(some_items()) + 1, "texts": 2}


def test_another_date_without_new_files_reads_and_encodes_nothing(trained_world, monkeypatch):
    stage_night(trained_world.run())
    seen = watch(monkeypatch)
    stage_night(trained_world.run(as_of=TOMORROW, now=NOW + timedelta(days=1)))
    assert seen == {"rows": 0, "texts": 0}


def test_a_shard_is_told_for_each_distinct_id_once_and_for_none():
    ids = pl.Series("user_id", ["b", "é", "b", "a", "b"])
    assert shard_of(ids, 5).to_list() == [shard_of(pl.Series([one]), 5)[0] for one in ids]
    nobody = shard_of(pl.Series("user_id", [], dtype=pl.String), 5)
    assert (nobody.dtype, nobody.name, len(nobody)) == (pl.UInt32, "shard", 0)
