"""What is published reads the same in polars, DuckDB and pandas, by the folder alone."""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from pwrank.datasets import RANKINGS, IdTypes
from pwrank.publication import rankings_path, read_rankings
from tests.library.tiny_world import AS_OF


@pytest.fixture(scope="module")
def folder(night):
    return night.run.store.lake / rankings_path(AS_OF)


@pytest.fixture(scope="module")
def expected(night):
    return read_rankings(night.run.store.lake, AS_OF).collect()


def test_the_schema_is_the_contract(expected):
    assert expected.schema == RANKINGS.schema(IdTypes())
    assert expected.schema["rank"] == pl.UInt16
    assert expected.schema["score"] == pl.Float32
    assert expected.schema["reason_item_ids"] == pl.List(pl.String)
    assert expected["as_of_date"].unique().to_list() == [AS_OF]


def test_a_polars_scan_of_the_folder_is_the_same(folder, expected):
    assert_frame_equal(pl.scan_parquet(folder, hive_partitioning=False).collect(), expected)
    above = pl.scan_parquet(folder.parent, hive_partitioning=True).collect()
    assert_frame_equal(above.drop("as_of"), expected)


def test_duckdb_reads_the_same(folder, expected):
    query = f"select * from read_parquet('{folder}/*.parquet', hive_partitioning=false)"  # noqa: S608
    relation = duckdb.sql(query)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert types["rank"] == "USMALLINT"
    assert types["score"] == "FLOAT"
    assert types["reason_item_ids"] == "VARCHAR[]"
    assert types["as_of_date"] == "DATE"
    assert_frame_equal(relation.pl(), expected)


def test_pandas_reads_the_same(folder, expected):
    frame = pd.read_parquet(folder, dtype_backend="pyarrow")
    assert_frame_equal(pl.from_arrow(pa.Table.from_pandas(frame, preserve_index=False)), expected)
    assert pd.read_parquet(folder)["rank"].dtype == "uint16"


def test_one_user_can_be_looked_up_without_reading_all(night, expected):
    user = expected["user_id"][0]
    found = read_rankings(night.run.store.lake).filter(pl.col("user_id") == user).collect()
    assert found["rank"].to_list() == [1, 2, 3, 4, 5]
