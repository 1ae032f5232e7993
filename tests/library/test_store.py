"""The store: whole files or none, manifests last, and no other version's lake."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pwrank import holds
from pwrank import store as store_module
from pwrank.datasets import CATALOGUE, IdType, IdTypes
from pwrank.errors import ContractError, LakeError
from pwrank.store import (
    Store,
    fingerprint,
    read_json,
    replacing,
    shard_of,
    write_dataset,
    write_json,
    write_parquet,
)

DAY = date(2024, 3, 8)
FRAME = pl.DataFrame({"a": [1, 2, 3]})


@pytest.fixture
def lake(tmp_path) -> Store:
    return Store(tmp_path / "lake").open()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "data.parquet"
    write_parquet(FRAME, path)

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_parquet(FRAME.head(1), path)
    assert names(tmp_path) == ["data.parquet"]
    assert pl.read_parquet(path).height == 3


FULL = "parquet: File out of specification: underlying IO error: No space left on device (os error)"


@pytest.mark.parametrize("error", [pl.exceptions.ComputeError(FULL), OSError(28, "No space left")])
def test_a_full_disk_is_told_with_the_file_and_without_what_libraries_call_it(
    tmp_path, monkeypatch, error
):
    def full_disk(*_, **__):
        raise error

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    path = tmp_path / "data.parquet"
    with pytest.raises(OSError, match=f"No space left on device: '{path}'$") as caught:
        write_parquet(FRAME, path)
    assert caught.value.errno == errno.ENOSPC


def test_trouble_with_another_file_keeps_its_name(tmp_path):
    def unreadable() -> None:
        with replacing(tmp_path / "data.parquet"):
            raise OSError(errno.EIO, "Input/output error", "/source/day.csv")

    with pytest.raises(OSError, match=r"/source/day\.csv"):
        unreadable()


def test_a_file_is_never_visible_half_written(tmp_path):
    path = tmp_path / "facts.json"
    with replacing(path) as temporary:
        temporary.write_text('{"half":', encoding="utf-8")
        assert not path.exists()
        assert list(path.parent.glob("**/*.json")) == []
        assert temporary.parent == path.parent
        temporary.write_text("{}", encoding="utf-8")
    assert names(tmp_path) == ["facts.json"]


def test_the_same_frame_gives_the_same_bytes(tmp_path):
    for name in ("one.parquet", "two.parquet"):
        write_parquet(FRAME, tmp_path / name)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_written_files_may_be_read_by_others(tmp_path):
    write_json(tmp_path / "x.json", {})
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_process_was_writing_is_swept_and_what_a_living_one_writes_is_not(lake):
    script = (
        "import os, sys; from pathlib import Path; from pwrank.store import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); print(flush=True); sys.stdin.readline()\n"
    )
    target = lake.lake / "dead.json"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(target)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.readline()
    assert lake.sweep_temporary() == 0
    process.kill()
    process.communicate()
    with replacing(lake.lake / "living.json") as temporary:
        temporary.write_text("{}", encoding="utf-8")
        assert lake.sweep_temporary() == 1
    assert names(lake.lake) == ["control", "living.json"]


def test_a_dataset_exists_only_once_its_manifest_does(lake):
    folder = lake.folder("catalogue", DAY, "key")
    write_parquet(FRAME, folder / "part-00000.parquet")
    assert lake.reuse("catalogue", DAY, "key") is None
    assert lake.refs("catalogue") == []
    lake.commit("catalogue", DAY, "key", files=["part-00000.parquet"], rows=3, figures={"n": 1})
    found = lake.reuse("catalogue", DAY, "key")
    assert found is not None
    assert (found.reused, found.rows, found.figures) == (True, 3, {"n": 1})
    assert lake.refs("catalogue") == [found]


def test_a_dataset_whose_file_is_gone_is_not_reused(lake):
    folder = lake.folder("catalogue", DAY, "key")
    write_parquet(FRAME, folder / "part-00000.parquet")
    lake.commit("catalogue", DAY, "key", files=["part-00000.parquet"], rows=3)
    (folder / "part-00000.parquet").unlink()
    assert lake.reuse("catalogue", DAY, "key") is None


def test_removing_takes_the_manifest_first(lake, monkeypatch):
    lake.folder("catalogue", DAY, "key")
    ref = lake.commit("catalogue", DAY, "key", files=[], rows=0)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        lake.remove(ref)
    assert lake.refs("catalogue") == []


def test_a_lake_of_another_version_is_refused(lake):
    write_json(lake.control / "lake.json", {"format": 99})
    for refuse in (lake.open, lake.check_version):
        with pytest.raises(LakeError, match=r"format 99.*new folder"):
            refuse()


def test_a_lake_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LakeError, match=r"cannot be written.*set `lake`"):
        Store(tmp_path / "file").open()

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store_module.tempfile, "TemporaryFile", read_only)
    with pytest.raises(LakeError, match="Read-only file system"):
        Store(tmp_path / "lake").open()


def test_looking_at_a_lake_that_is_not_there_creates_nothing(tmp_path):
    Store(tmp_path / "lake").check_version()
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("content", ['{"cut": ', "[1, 2]", "\xff"])
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(LakeError, match=r"record.json: damaged .* remove it"):
        read_json(path)


def test_shards_are_the_same_in_every_process_and_for_numbers_and_their_text():
    ids = pl.Series("user_id", [1, 2, 3, 10**12])
    code = "import polars as pl; from pwrank.store import shard_of\n"
    code += "print(shard_of(pl.Series([1, 2, 3, 10**12]), 7).to_list())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "5"},
    ).stdout  # fmt: skip
    assert shard_of(ids, 7).to_list() == shard_of(ids.cast(pl.String), 7).to_list()
    assert told.strip() == str(shard_of(ids, 7).to_list())


def test_a_fingerprint_depends_on_values_and_not_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("a", ["b"]) != fingerprint(["a"], "b")


def test_a_frame_that_breaks_its_contract_is_not_written(lake):
    good = pl.DataFrame(
        [["i", "t", "c", True, "x", "h"]], schema=CATALOGUE.schema(IdTypes()), orient="row"
    )
    path = lake.lake / "catalogue.parquet"
    for bad, why in (
        (pl.concat([good, good]), "not unique"),
        (good.with_columns(pl.lit(None, pl.String).alias("title")), "1 rows without title"),
        (good.drop("text"), "schema"),
    ):
        with pytest.raises(ContractError, match=why):
            write_dataset(lake, CATALOGUE, bad, path, IdTypes())
    with pytest.raises(ContractError):
        write_dataset(lake, CATALOGUE, good, path, IdTypes(item=IdType.INT64))
    assert not path.exists()
    assert write_dataset(lake, CATALOGUE, good, path, IdTypes()) == 1


def test_what_is_not_finite_is_null_in_json(tmp_path):
    told = {"a": float("nan"), "b": [1.5, float("inf")], "c": (True, "NaN")}
    write_json(tmp_path / "x.json", told)
    assert read_json(tmp_path / "x.json") == {"a": None, "b": [1.5, None], "c": [True, "NaN"]}


def test_a_temporary_that_was_swept_before_it_was_held_is_made_anew(tmp_path, monkeypatch):
    lock, swept = holds.fcntl.flock, []

    def sweep_first(handle, how):
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        lock(handle, how)

    monkeypatch.setattr(holds.fcntl, "flock", sweep_first)
    write_json(tmp_path / "x.json", {})
    assert names(tmp_path) == ["x.json"]
    assert swept
