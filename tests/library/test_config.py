"""The configuration: three lines are enough, every mistake is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from pwrank.config import Config
from pwrank.config_file import load_config, section_hash
from pwrank.errors import ConfigError

MINIMAL = 'lake = "lake"\n[source]\ninteractions = "interactions.csv"\nitems = "/data/items.csv"\n'


def load(tmp_path: Path, text: str = MINIMAL, **environment: str) -> Config:
    path = tmp_path / "pwrank.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environment)


def refusal(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environment)
    return str(caught.value)


def test_three_lines_are_enough(tmp_path):
    config = load(tmp_path)
    assert config.score.k == 100
    assert config.time_zone == "UTC"


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load(tmp_path)
    assert config.lake == tmp_path / "lake"
    assert config.source.interactions == tmp_path / "interactions.csv"
    assert config.source.items == Path("/data/items.csv")


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path):
    told = refusal(tmp_path, MINIMAL + "[score]\nshard = 3\n")
    assert told.endswith("unknown key 'score.shard'; did you mean 'shards'?")
    told = refusal(tmp_path, MINIMAL + "[source.columns]\nuserid = 'x'\n")
    assert told.endswith("unknown key 'source.columns.userid'; did you mean 'user_id'?")
    told = refusal(tmp_path, MINIMAL + "[[clean.reject]]\nreason='r'\ncolumn='c'\nmatch='x'\n")
    assert "unknown key 'clean.reject.0.match'; did you mean 'matches'?" in told


def test_the_keys_of_a_small_section_are_told_where_none_is_near(tmp_path):
    told = refusal(tmp_path, MINIMAL + "[[clean.reject]]\nreason='r'\ncolumn='c'\npattern='x'\n")
    known = "reason, column, table, matches, below, above"
    assert f"unknown key 'clean.reject.0.pattern'; known there: {known}" in told
    told = refusal(tmp_path, MINIMAL + "[train]\nxyz = 1\n")
    assert told.endswith("unknown key 'train.xyz'")


def test_an_unknown_key_that_another_section_has_is_refused_with_its_place(tmp_path):
    told = refusal(tmp_path, MINIMAL + "[runtime]\ntime_zone = 'UTC'\n")
    where = "'time_zone' stands at the top, before every [section] and in [source]"
    assert told.endswith(f"unknown key 'runtime.time_zone'; {where}")
    told = refusal(tmp_path, "k = 5\n" + MINIMAL + "[rerank]\nuser_id = 'x'\nmatches = 'x'\n")
    for told_of in (
        "unknown key 'k'; 'k' stands in [score]",
        "unknown key 'rerank.user_id'; 'user_id' stands in [source.columns]",
        "unknown key 'rerank.matches'; 'matches' stands in [[clean.reject]]",
    ):
        assert told_of in told
    assert refusal(tmp_path, MINIMAL + "[score]\ntop_k = 5\n").endswith("did you mean 'k'?")
    told = refusal(tmp_path, MINIMAL + "[score]\nwhatever = 5\n")
    keys = "k, candidates, shards, exclude_seen, active_days, reasons"
    assert told.endswith(f"unknown key 'score.whatever'; known there: {keys}")


def test_an_unknown_section_is_refused_with_the_nearest_name(tmp_path):
    assert "did you mean 'encoder'?" in refusal(tmp_path, MINIMAL + "[encodr]\nprompt = ''\n")


def test_all_mistakes_are_told_at_once_one_a_line(tmp_path):
    told = refusal(
        tmp_path,
        'time_zone = "Mars/Base"\n[source]\ninteractions = "x"\n[score]\nk = 0\nshard = 2\n',
    )
    lines = told.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(str(tmp_path / "pwrank.toml")) for line in lines)
    for part in ("missing key 'lake'", "'Mars/Base' is not a time zone", "score.k = 0", "'shards'"):
        assert sum(part in line for line in lines) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lake = ", "not valid TOML"),
        ('lake = "l"\n[source]\nkind = "movielens"\n', "'movielens' needs `folder`"),
        ('lake = "l"\n[source]\nitems = "i"\n', "'tables' needs `interactions`"),
        (MINIMAL + 'kind = "tabels"\n', "source.kind = 'tabels'"),
        (MINIMAL + "[[clean.reject]]\nreason = 'r'\ncolumn = 'c'\n", "needs `matches`"),
        (
            MINIMAL + "columns.user_id = ''\n",
            "source.columns.user_id = '': every source has one; n",
        ),
        (MINIMAL + "columns = {title = '', text = ''}\n", "[source.columns]: title and text are"),
        (MINIMAL + "[train]\nepochs = -1\n", "train.epochs = -1: must be greater than"),
        (MINIMAL + "[train]\ndropout = 1.0\n", "train.dropout = 1.0: must be less than 1"),
        (MINIMAL + "[train]\ndropout = nan\n", "train.dropout = nan: must be a finite number"),
        (MINIMAL + "[train]\nlearning_rate = 0\n", "train.learning_rate = 0: must be greater"),
        (MINIMAL + "[train]\nvalidation_share = 1\n", "train.validation_share = 1: must be less"),
        (MINIMAL + "[train]\ndim = 65\n", "[train]: dim = 65 is no multiple of heads = 2"),
        ("lake = 5\n", "lake = 5: must be a path, in quotes"),
        ('lake = ""\n', "lake = '': name a folder of its own"),
    ],
)
def test_a_configuration_that_cannot_work_says_why(tmp_path, text, told):
    assert told in refusal(tmp_path, text)


def test_a_missing_file_and_a_folder_say_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file; `pwrank init` writes one"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="a folder, not a configuration file"):
        load_config(tmp_path)


def test_every_value_can_be_set_by_environment(tmp_path):
    config = load(
        tmp_path,
        PWRANK__LAKE="elsewhere",
        PWRANK__SCORE__K="7",
        PWRANK__SCORE__EXCLUDE_SEEN="false",
        PWRANK__SOURCE__COLUMNS__USER_ID="CustomerID",
        PWRANK__SOURCE__COLUMNS__TIMESTAMP="",
        PWRANK__CLEAN__POSITIVE_EVENTS='["buy", "like"]',
        UNRELATED="1",
    )
    assert config.lake == tmp_path / "elsewhere"
    assert (config.score.k, config.score.exclude_seen) == (7, False)
    assert config.source.columns.user_id == "CustomerID"
    assert config.source.columns.timestamp == ""
    assert config.clean.positive_events == ("buy", "like")


def test_mistakes_in_the_environment_are_refused_too(tmp_path):
    assert "did you mean 'shards'?" in refusal(tmp_path, MINIMAL, PWRANK__SCORE__SHARD="2")
    told = refusal(tmp_path, MINIMAL, PWRANK__LAKE__X="2")
    assert told == "environment PWRANK__LAKE__X: 'lake' is not a section"


def test_a_mistake_in_the_environment_names_the_variable_as_its_place(tmp_path):
    assert refusal(tmp_path, MINIMAL, PWRANK__SCORE__KK="5").startswith(
        "environment PWRANK__SCORE__KK: unknown key 'score.kk'"
    )
    assert refusal(tmp_path, MINIMAL, PWRANK__SCORES__K="5").startswith(
        "environment PWRANK__SCORES__K: unknown key 'scores'"
    )
    told = refusal(tmp_path, MINIMAL + "[score]\nshards = 0\n", PWRANK__SCORE__K="-1")
    in_file, by_environment = sorted(told.splitlines())
    if in_file.startswith("environment"):
        in_file, by_environment = by_environment, in_file
    assert by_environment.startswith("environment PWRANK__SCORE__K: score.k = -1: must be greater")
    assert in_file.startswith(f"{tmp_path / 'pwrank.toml'}: score.shards = 0: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("score = 5\n" + MINIMAL, "score = 5: is a section, not a value; write [score]"),
        (
            MINIMAL + "columns = 5\n",
            "source.columns = 5: is a section, not a value; write [source.c",
        ),
        (MINIMAL + "[clean]\nreject = [5]\n", "clean.reject.0 = 5: is a section, not a value; wr"),
        (MINIMAL + "[clean]\npositive_events = 5\n", "clean.positive_events = 5: must be a list"),
        (MINIMAL + "[score]\nk = 'x'\n", "score.k = 'x': must be an integer, without quotes"),
        (MINIMAL + "[score]\nk = true\n", "score.k = True: must be an integer"),
        (MINIMAL + "[score]\nk = 2.5\n", "score.k = 2.5: must be an integer, got"),
        (
            MINIMAL + "[rerank]\nnovelty = '.5'\n",
            "rerank.novelty = '.5': must be a number, without",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_in_our_words(tmp_path, text, told):
    line = refusal(tmp_path, text)
    assert told in line
    assert "Input should" not in line
    assert "Config" not in line


def kinds_of(annotation: Any) -> Iterator[Any]:
    """Every type that an annotation names."""
    yield annotation
    for part in get_args(annotation):
        yield from kinds_of(part)


def numbers_of(section: type[BaseModel], *place: str) -> Iterator[tuple[str, ...]]:
    """Where the integers and numbers of a section and of those below it stand."""
    for name, field in section.model_fields.items():
        kinds = list(kinds_of(field.annotation))
        if any(kind in (int, float) for kind in kinds):
            yield (*place, name)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from numbers_of(kind, *place, name)


@pytest.mark.parametrize("value", [True, "1"])
def test_no_number_may_be_true_or_in_quotes(value):
    places = list(numbers_of(Config))
    assert {("seed",), ("rerank", "novelty"), ("train", "ease_reg")} <= set(places)
    for *sections, key in places:
        raw: Any = {key: value}
        for section in reversed(sections):
            raw = {section: [raw] if section == "reject" else raw}
        with pytest.raises(ValidationError) as caught:
            Config.model_validate(raw)
        errors = {error["loc"][-1]: error["msg"] for error in caught.value.errors()}
        assert errors[key].startswith("Value error, must be a"), (sections, key)


def test_an_integer_is_a_number_and_the_environment_may_spell_one(tmp_path):
    assert load(tmp_path, MINIMAL + "[rerank]\ncoverage = 1\n").rerank.coverage == 1.0
    config = load(
        tmp_path,
        PWRANK__RERANK__NOVELTY=".5",  # neither is TOML
        PWRANK__SCORE__K="007",
        PWRANK__RERANK__MAX_PER_CATEGORY='"2"',
        PWRANK__TRAIN__EASE_REG="300",
        PWRANK__ENCODER__PROMPT="5 stars: ",
    )
    assert (config.rerank.novelty, config.score.k, config.rerank.max_per_category) == (0.5, 7, 2)
    assert config.train.ease_reg == 300.0
    assert type(config.encoder.prompt) is str
    told = refusal(tmp_path, MINIMAL, PWRANK__RERANK__NOVELTY="true")
    assert told == "environment PWRANK__RERANK__NOVELTY: rerank.novelty = True: must be a number"


def test_a_resolved_configuration_cannot_be_changed(tmp_path):
    with pytest.raises(ValidationError):
        load(tmp_path).score.k = 3


def test_the_hash_of_a_section_follows_its_values(tmp_path):
    one, other = load(tmp_path), load(tmp_path, PWRANK__SCORE__K="7")
    assert section_hash(one.score) == section_hash(load(tmp_path).score)
    assert section_hash(one.score) != section_hash(other.score)
    assert section_hash(one.rerank) == section_hash(other.rerank)


def test_a_reject_rule_without_a_condition_is_refused(tmp_path):
    path = tmp_path / "pwrank.toml"
    path.write_text(
        'lake = "lake"\n[source]\ninteractions = "i.csv"\nitems = "items.csv"\n'
        '[[clean.reject]]\nreason = "cancelled"\ncolumn = "Invoice"\n'
    )
    with pytest.raises(ConfigError, match="needs `matches`, `below` or `above`"):
        load_config(path)
