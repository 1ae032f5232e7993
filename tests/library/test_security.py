"""Nothing that runs is ever loaded, nothing that was exchanged is ever used, no secret is kept."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from pwrank.errors import ConfigError, LakeError, without_credentials
from pwrank.evaluation.judging import judge
from pwrank.index import index
from pwrank.lists.pairs import score_pairs
from pwrank.publication import rankings_path, read_publication, read_rankings, rollback
from pwrank.score import load_scorer, score_shard
from pwrank.store import file_sha256
from pwrank.user_files import read_user_file
from tests.library.tiny_world import AS_OF, World, stage_night

ROOT = Path(__file__).parents[2]
PICKLES = [bytes([0x80, protocol]) for protocol in range(2, 6)]


def spoil(path: Path) -> None:
    """Change one byte in the middle, not the size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.unlink()  # the published part is a second name of the same file
    path.write_bytes(content)


@pytest.fixture
def world(published_world, tmp_path) -> World:
    """A published night of one's own."""
    shutil.copytree(published_world.folder, tmp_path / "world")
    return World(tmp_path / "world", published_world.model)


@pytest.fixture
def staged(world):
    return stage_night(world.run(index={"kind": "ivf"}))


def again(night):
    """Score the first shard anew, as another process would."""
    load_scorer.cache_clear()
    (night.staged.file_paths(night.run.store.lake)[0]).unlink()
    return score_shard(night.run, night.refs, shard=0)


def score_a_pair(night):
    store, path = night.run.store, night.run.store.lake.parent / "pairs.csv"
    path.write_text("user_id,item_id\nu00,001\n", encoding="utf-8")
    ids = store.id_types()
    return score_pairs(store, night.refs, read_user_file(path, night.run.config, ids), heads=False)


# --- exchanged files -----------------------------------------------------------------------


@pytest.mark.parametrize("use", [again, score_a_pair])
@pytest.mark.parametrize("name", ["ranker.safetensors", "ranker.json"])
def test_a_model_that_was_exchanged_is_named_and_not_used(staged, use, name):
    spoil(staged.run.store.lake / staged.refs.model.path / name)
    with pytest.raises(
        LakeError, match=rf"{name}: not the file that was written.*remove .* run 20"
    ):
        use(staged)


@pytest.mark.parametrize("use", [again, score_a_pair])
@pytest.mark.parametrize("name", ["items.safetensors", "facts.json"])
def test_an_index_that_was_exchanged_is_named_and_not_used(staged, use, name):
    spoil(staged.run.store.lake / staged.refs.index.path / name)
    with pytest.raises(
        LakeError, match=rf"{name}: not the file that was written.*remove .* run 20"
    ):
        use(staged)


def test_no_index_is_built_with_an_exchanged_model(staged):
    refs, store = staged.refs, staged.run.store
    store.remove(refs.index)
    spoil(store.lake / refs.model.path / "ranker.safetensors")
    with pytest.raises(LakeError, match=r"ranker\.safetensors: not the file that was written"):
        index(
            staged.run,
            histories=refs.histories,
            catalogue=refs.catalogue,
            embeddings=refs.embeddings,
            model=refs.model,
        )


def published_part(world) -> Path:
    publication = read_publication(world.store, AS_OF)
    return world.store.lake / publication["staged_path"] / publication["parts"][0]["name"]


def judge_it(world):
    held = world.folder / "held.csv"
    held.write_text("user_id,item_id\nu00,001\n", encoding="utf-8")
    night = stage_night(world.run())
    return judge(
        world.store, night.run.config, read_publication(world.store, AS_OF), night.refs, held
    )


USES = {
    "rollback": lambda world: rollback(world.store, AS_OF),
    "evaluate": judge_it,
    "the same night again": lambda world: stage_night(world.run()).publish(),
}


@pytest.mark.parametrize("use", USES)
def test_a_published_list_that_was_exchanged_is_named_and_not_used(world, use):
    spoil(published_part(world))
    with pytest.raises(LakeError, match=r"part-00000\.parquet: not the file that was .*run"):
        USES[use](world)


def test_a_file_exchanged_where_globs_look_is_noticed_too(world):
    spoil(world.store.lake / rankings_path(AS_OF) / "part-00001.parquet")
    with pytest.raises(LakeError, match=r"rankings.*part-00001\.parquet: not the file"):
        rollback(world.store, AS_OF)


def test_the_next_step_that_is_named_mends_the_date(world):
    before = read_rankings(world.store.lake).collect()
    part = published_part(world)
    whole = file_sha256(part)
    spoil(part)
    part.unlink()
    with pytest.raises(LakeError, match="published, but no longer there; `pwrank run --as-of"):
        read_rankings(world.store.lake)
    stage_night(world.run()).publish()
    assert file_sha256(part) == whole
    rollback(world.store, AS_OF)
    assert read_rankings(world.store.lake).collect().equals(before)


def test_a_reader_notices_another_size_without_reading(world):
    part = published_part(world)
    shorter = part.read_bytes()[:-1]
    part.unlink()
    part.write_bytes(shorter)
    with pytest.raises(LakeError, match=r"not the file that was published .* remove it; `pwrank"):
        read_rankings(world.store.lake)


def test_a_rollback_takes_less_than_a_second(world):
    started = time.perf_counter()
    rollback(world.store, AS_OF)
    assert time.perf_counter() - started < 1


# --- nothing that runs ---------------------------------------------------------------------


def product() -> list[Path]:
    return [path for name in ("pwrank", "tasks", "flows") for path in (ROOT / name).rglob("*.py")]


def test_no_loader_of_pickles_is_called_anywhere():
    for path in product():
        text = path.read_text(encoding="utf-8")
        for needle in ("allow_pickle", "torch.load", "torch.save", "read_pickle", "import pickle"):
            assert needle not in text, (path, needle)


def test_every_file_of_a_lake_is_of_a_kind_that_only_holds_data(world):
    stage_night(world.run(index={"kind": "ivf"}))
    kinds = set()
    for path in (path for path in world.store.lake.rglob("*") if path.is_file()):
        content = path.read_bytes()
        kinds.add(path.suffix)
        assert not content.startswith(tuple(PICKLES)), path
        match path.suffix:
            case ".parquet":
                assert content[:4] == content[-4:] == b"PAR1", path
            case ".json":
                json.loads(content)
            case ".safetensors":
                length = int.from_bytes(content[:8], "little")
                assert isinstance(json.loads(content[8 : 8 + length]), dict), path
            case ".faiss":
                assert content[:2] == b"Iw", path
            case ".md":
                content.decode()
            case ".lock":
                assert not content, path
            case _:
                pytest.fail(f"what is {path}?")
    assert {".parquet", ".json", ".safetensors", ".faiss"} <= kinds


# --- secrets -------------------------------------------------------------------------------

SECRET = "hunter2-correct-horse"  # noqa: S105 - planted
PLACES = {
    "source.interactions": {"source": {"interactions": f"s3://key:{SECRET}@bucket/drops"}},
    "encoder.model": {"encoder": {"model": f"https://user:{SECRET}@models.example/one"}},
    "lake": {"lake": f"s3://key:{SECRET}@bucket/lake"},
    "clean.positive_events.1": {"clean": {"positive_events": ["buy", f"x://{SECRET}@y"]}},
    "score.k": {"score": {"k": f"redis://:{SECRET}@cache/0"}},
}


@pytest.mark.parametrize("key", PLACES)
def test_a_configuration_with_a_password_is_refused_without_repeating_it(tiny_world, command, key):
    with pytest.raises(ConfigError) as caught:
        tiny_world.configure(**PLACES[key])
    told = command("check", "--config", tiny_world.config_file)
    told.refuses([f"pwrank.toml: {key} = ", "***@", "a URL with credentials; leave them out"])
    assert SECRET not in str(caught.value) + told.out + told.err
    assert not tiny_world.store.lake.exists()


def test_a_password_set_by_environment_is_refused_by_the_name_of_its_variable(tiny_world, command):
    name = "PWRANK__SOURCE__INTERACTIONS"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(name, f"s3://key:{SECRET}@bucket/drops")
        told = command("check", "--config", tiny_world.config_file)
    told.refuses([f"environment {name}: source.interactions", "***@bucket"])
    assert SECRET not in told.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"https://user:{SECRET}@host/a and s3://{SECRET}@b", "https://***@host/a and s3://***@b"),
        ("mail me@example.com, 3:4@5, https://host/a@b?c=d@e", None),
    ],
)
def test_credentials_of_urls_are_hidden_and_nothing_else(text, told):
    assert without_credentials(text) == (told or text)
    assert str(LakeError(text)) == (told or text)


def test_what_a_night_writes_and_says_holds_no_value_of_the_environment(tiny_world, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    stage_night(tiny_world.run()).publish()
    files = [path for path in tiny_world.store.lake.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
