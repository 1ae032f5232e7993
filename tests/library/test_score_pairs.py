"""Pairs that a caller brings are scored in their order, known or never seen."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pwrank.config import ColumnsConfig
from pwrank.datasets import IdType, IdTypes
from pwrank.errors import SourceError
from pwrank.lists.pairs import NO_RATINGS, add_scores
from pwrank.user_files import read_user_file, write_user_file
from tests.library.tiny_world import World, stage_night

IDS = IdTypes()
PAIRS = pl.DataFrame(
    {
        "user_id": ["u03", "u00", "stranger", "u03", "u00", "u03"],
        "item_id": ["004", "011", "004", "unheard-of", "004", "004"],
        "note": ["a", "b", "c", "d", "e", "f"],
    }
)


def scored(night, path, **arguments):
    pairs = read_user_file(path, night.run.config, IDS)
    return add_scores(night.run.store, night.refs, pairs, heads=False, **arguments)


@pytest.fixture
def brought(tmp_path):
    def write(frame=PAIRS, name="pairs.csv"):
        write_user_file(frame, tmp_path / name)
        return tmp_path / name

    return write


def test_rows_keep_their_order_and_their_columns(night, brought):
    told = scored(night, brought())
    assert told.drop("score").equals(PAIRS)
    assert told["score"].dtype == pl.Float32
    assert told["score"].is_between(0, 1).all()
    assert told["score"][0] == told["score"][5]


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl", "pairs.parquet"])
def test_white_space_around_ids_is_no_part_of_them_and_rows_stay_as_they_came(night, brought, name):
    padded = PAIRS.with_columns(" " + pl.col("user_id") + "  ", pl.col("item_id") + "\t")
    told = scored(night, brought(padded, name))
    assert told.drop("score").equals(padded)
    assert told["score"].equals(scored(night, brought())["score"])
    ids = read_user_file(brought(padded, name), night.run.config, IDS)
    assert ids.user_id.to_list() == PAIRS["user_id"].to_list()


def test_the_score_of_a_pair_is_the_one_in_the_published_list(night, brought):
    listed = night.rankings.select("user_id", "item_id", "score")
    shuffled = listed.sample(fraction=1, shuffle=True, seed=1)
    told = scored(night, brought(shuffled.drop("score")))
    assert_frame_equal(told, shuffled, check_exact=True)


def test_unknown_users_and_items_are_scored_and_told_apart(night, brought):
    told = scored(night, brought())["score"].to_list()
    assert told[2] not in (told[0], told[4])
    assert told[3] != told[0]


def test_rows_without_an_id_have_no_score_and_change_no_other(night, brought):
    user = pl.Series("user_id", ["u03", None, "", " ", "u00", "u03"])
    item = pl.Series("item_id", ["004", "011", "004", "004", None, "004"])
    path = brought(PAIRS.with_columns(user, item), "pairs.parquet")
    told = scored(night, path)["score"]
    assert told.is_null().to_list() == [False, True, True, True, True, False]
    assert told[0] == scored(night, brought())["score"][0]
    pairs = read_user_file(path, night.run.config, IDS)
    heads = add_scores(night.run.store, night.refs, pairs, heads=True)
    assert heads["like"].null_count() == heads["rating"].null_count() == 4


def test_more_users_than_a_batch_come_back_in_order(night, brought, monkeypatch):
    whole = scored(night, brought())
    monkeypatch.setattr("pwrank.lists.pairs.READ_USERS", 1)
    assert_frame_equal(scored(night, brought()), whole, check_exact=True)


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.tsv", "pairs.parquet", "pairs.jsonl"])
def test_every_format_goes_round_trip(night, brought, tmp_path, name):
    told = scored(night, brought(name=name))
    write_user_file(told, tmp_path / f"out-{name}")
    again = read_user_file(tmp_path / f"out-{name}", night.run.config, IDS)
    assert again.user_id.to_list() == PAIRS["user_id"].to_list()
    assert again.item_id.to_list() == PAIRS["item_id"].to_list()
    assert again.frame["score"].cast(pl.Float32).to_list() == pytest.approx(told["score"].to_list())


def test_a_head_for_liking_and_one_for_the_rating_can_be_asked_for(night, brought):
    pairs = read_user_file(brought(), night.run.config, IDS)
    told = add_scores(night.run.store, night.refs, pairs, heads=True)
    assert told.columns == ["user_id", "item_id", "note", "score", "like", "rating"]
    assert told.select(pl.col("like", "rating").is_finite().all()).row(0) == (True, True)


def test_columns_of_the_callers_own_are_never_overwritten(night, brought):
    for heads, own, told in (
        (False, ["score"], "own column 'score' would be written over; rename"),
        (True, ["rating"], "own column 'rating' would"),
        (True, ["rating", "like", "score"], "own columns 'score' and 'like' and 'rating' would"),
    ):
        path = brought(PAIRS.with_columns(pl.lit("mine").alias(name) for name in own))
        pairs = read_user_file(path, night.run.config, IDS)
        with pytest.raises(SourceError, match=told):
            add_scores(night.run.store, night.refs, pairs, heads=heads)
    path = brought(PAIRS.with_columns(rating=pl.lit("mine"), like=pl.lit("mine")))
    assert scored(night, path).drop("score").equals(pl.read_csv(path, infer_schema=False))


def test_columns_may_bear_the_names_of_the_source(night, tmp_path):
    (tmp_path / "p.csv").write_text("movieId,userId\n004,u03\n", encoding="utf-8")
    assert scored(night, tmp_path / "p.csv").columns == ["movieId", "userId", "score"]
    columns = ColumnsConfig(user_id="CustomerID", item_id="StockCode")
    source = night.run.config.source.model_copy(update={"columns": columns})
    config = night.run.config.model_copy(update={"source": source})
    (tmp_path / "q.csv").write_text("StockCode,CustomerID\n004,u03\n", encoding="utf-8")
    assert read_user_file(tmp_path / "q.csv", config, IDS).user_id.to_list() == ["u03"]


@pytest.mark.parametrize("name", ["p.tsv", "p.tsv.gz", "p.csv.gz", "p.jsonl.gz"])
def test_tab_separated_and_packed_files_are_read(night, tmp_path, name):
    if "jsonl" in name:
        content = b'{"user_id": "u03", "item_id": "004"}\n'
    else:
        content = b"user_id,item_id\nu03,004\n"
    content = content.replace(b",", b"\t") if "tsv" in name else content
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    pairs = read_user_file(tmp_path / name, night.run.config, IDS)
    assert (pairs.user_id.to_list(), pairs.item_id.to_list()) == (["u03"], ["004"])


def test_text_ids_of_an_integer_lake_are_read_and_others_are_nobody(night, tmp_path):
    (tmp_path / "p.csv").write_text("user_id,item_id\n12,7\nx,8\n", encoding="utf-8")
    numbers = IdTypes(IdType.INT64, IdType.INT64)
    pairs = read_user_file(tmp_path / "p.csv", night.run.config, numbers)
    assert pairs.user_id.to_list() == [12, None]
    assert pairs.item_id.to_list() == [7, 8]


def test_ids_of_a_jsonl_file_may_begin_as_numbers(night, tmp_path):
    lines = ['{"user_id": 1, "item_id": "004"}'] * 300 + ['{"user_id": "u03", "item_id": 4}']
    (tmp_path / "p.jsonl").write_text("\n".join(lines), encoding="utf-8")
    pairs = read_user_file(tmp_path / "p.jsonl", night.run.config, IDS)
    assert (pairs.user_id[0], pairs.user_id[-1], pairs.item_id[-1]) == ("1", "u03", "4")


def test_heads_of_a_log_without_ratings_are_told_to_be_empty(tiny_world, command, tmp_path):
    tiny_world.settings = {"source": {"columns": {"rating": ""}}}
    stage_night(tiny_world.run()).publish()
    (tmp_path / "p.csv").write_text("user_id,item_id\nu03,004\n", encoding="utf-8")
    asked = ("score", "--config", tiny_world.config_file, "--pairs", tmp_path / "p.csv")
    told = command(*asked, "--out", tmp_path / "o.csv", "--heads")
    assert "like and rating are empty: the model of this date learned no ratings" in told.out
    told = command(*asked, "--out", tmp_path / "o.csv", "--heads", "--json")
    answer = json.loads(told.out)
    assert answer["heads"] is False
    assert answer["why_no_heads"] == NO_RATINGS
    assert "empty" not in command(*asked, "--out", tmp_path / "o.csv").out


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.csv", None, r"no such file; bring a \.csv, \.tsv or \.jsonl"),
        ("empty.csv", b"", "empty file"),
        ("header.csv", b"user_id,item_id\n", "no rows"),
        ("p.csv", b"usr_id,item_id\na,b\n", r"no column 'user_id' .*did you mean 'usr_id'"),
        ("p.parquet", b"PAR1 this is not parquet", "cannot be read"),
        (
            "p.parquet.gz",
            gzip.compress(b"PAR1"),
            r"cannot be read \(parquet: .*\.parquet",
        ),
        ("p.jsonl", b'{"user_id": 1,,}\n', "line 1 is not valid JSON"),
        ("p.jsonl", b'{"user_id": 1, "item_id": 2}\n\n{"user_id": torn\n', "line 3 is not valid"),
        ("p.jsonl", b'{"user_id": 1, "item_id": 2}\n[1, 2]\n', "line 2 is not a JSON object"),
        ("p.jsonl", b'{"user_id": 1, "item_id": 2}\n{"user_id": "\xff"}\n', "line 2 is not"),
        ("p.jsonl.gz", b"not packed", r"cannot be read .*bring a"),
        (
            "p.csv",
            b"user_id,item_id\n\xff\xfe,b\n",
            "line 2: the line cannot be decoded; set source.encoding",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_fact(night, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"{name}: .*{told}"):
        read_user_file(tmp_path / name, night.run.config, IDS)


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    for path, told in (
        (tmp_path / "out.xlsx", r"unknown ending; use one of \.csv, \.tsv, \.parquet"),
        (tmp_path / "no folder" / "out.csv", r"cannot be written \(no folder .*/no folder\)"),
    ):
        with pytest.raises(SourceError, match=told):
            write_user_file(PAIRS, path)
    nested = PAIRS.with_columns(note=pl.concat_list("note"))
    with pytest.raises(SourceError, match=r"out.csv: cannot be written .*try \.parquet"):
        write_user_file(nested, tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_called_so(tmp_path, monkeypatch):
    def full_disk(*_, **__):
        raise pl.exceptions.ComputeError("File out of specification: No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    told = r"cannot be written \(No space left on device\); free space, or name another file$"
    with pytest.raises(SourceError, match=told):
        write_user_file(PAIRS, tmp_path / "out.parquet")


def read_as(tmp_path, name, content, **source):
    world = World(tmp_path, tmp_path)
    config = world.configure(source={"interactions": "d", "items": "i"} | source)
    (tmp_path / name).write_bytes(content)
    brought = read_user_file(tmp_path / name, config, IdTypes(IdType.INT64, IdType.STRING))
    return list(zip(brought.user_id.to_list(), brought.item_id.to_list(), strict=True))


@pytest.mark.parametrize(
    ("name", "content", "source"),
    [
        ("p.csv", "Kunde;Buch\n7;é\n8;b\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("p.csv", "Kunde|Buch\n7|é\n8|b\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("p.csv", "\ufeffKunde,Buch\n7,é\n8,b\n".encode(), {"encoding": "latin-1"}),
        ("p.tsv", "Kunde\tBuch\n7\té\n8\tb\n".encode(), {"separator": ";"}),
        ("p.jsonl", '\ufeff{"Kunde": 7, "Buch": "é"}\n{"Kunde": 8, "Buch": "b"}\n'.encode(), {}),
    ],
    ids=["utf-16", "latin-1", "utf-8 beside latin-1", "tabs", "marked"],
)
def test_a_callers_file_may_be_spelled_as_the_source_or_plainly(tmp_path, name, content, source):
    columns = {"columns": {"user_id": "Kunde", "item_id": "Buch"}}
    assert read_as(tmp_path, name, content, **columns, **source) == [(7, "é"), (8, "b")]


@pytest.mark.parametrize("ids", [[[7]], [{"id": 7}], [True]], ids=["list", "object", "bool"])
def test_ids_that_are_neither_text_nor_numbers_are_refused(tmp_path, ids):
    pl.DataFrame({"user_id": ids, "item_id": ["a"]}).write_parquet(tmp_path / "p.pq")
    with pytest.raises(SourceError, match=r"p\.parquet: column 'user_id' holds .*ids are text"):
        read_as(tmp_path, "p.parquet", (tmp_path / "p.pq").read_bytes())


def test_ids_in_bytes_are_read_as_in_the_sources_and_what_is_no_text_is_no_id(tmp_path):
    columns = {
        "user_id": [b" 7", b"8", b"\xff"],
        "item_id": ["é".encode(), b"b", b"c"],
        "event": [b"click", b"buy", None],
    }
    path = tmp_path / "p.parquet"
    pl.DataFrame(columns).write_parquet(path)
    config = World(tmp_path, tmp_path).configure()
    brought = read_user_file(path, config, IdTypes(IdType.INT64, IdType.STRING))
    assert brought.user_id.to_list() == [7, 8, None]
    assert brought.item_id.to_list() == ["é", "b", "c"]
    assert brought.values["event"].to_list() == ["click", "buy", None]
    assert brought.frame.to_dict(as_series=False) == columns  # what is written again


def test_where_ids_are_numbers_another_spelling_is_another_id(tmp_path):
    content = b"user_id,item_id\n007,a\n7.0,b\n+7,c\n 7 ,d\n"
    assert [user for user, _ in read_as(tmp_path, "p.csv", content)] == [None, None, None, 7]
    pl.DataFrame({"user_id": [7.0, 7.5], "item_id": ["a", "b"]}).write_parquet(tmp_path / "p.pq")
    content = (tmp_path / "p.pq").read_bytes()
    for name in ("p.parquet", "p.pq"):
        assert [user for user, _ in read_as(tmp_path, name, content)] == [7, None]
