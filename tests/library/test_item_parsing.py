"""Rows of the catalogue: cleaned, typed, or rejected with a reason."""

from __future__ import annotations

import pytest

from pwrank.errors import SourceError
from tests.library.parsed_rows import (
    config_of,
    items,
)


def test_an_item_is_cleaned_and_keeps_only_the_columns_that_the_template_names() -> None:
    typed, _ = items(
        config=config_of(encoder={"text_template": "{title} {brand} {année}"}),
        item_id=["1", "2"],
        title=["<b>A</b> &amp; B", None],
        category=["Home > Kitchen|Bath", " "],
        brand=["Zoë  Ltd", None],
        année=[1999, None],
        junk=["x", "y"],
    )
    assert typed["title"].to_list() == ["A & B", ""]
    assert typed["text"].to_list() == ["", ""]
    assert typed["category"].to_list() == ["Home > Kitchen|Bath", ""]
    assert typed["attributes"].to_list() == [
        '{"année": "1999", "brand": "Zoë Ltd"}',
        '{"année": "", "brand": ""}',
    ]
    assert typed["available"].to_list() == [True, True]
    assert typed["updated_at"].to_list() == [None, None]


def test_a_template_column_that_is_not_there_is_told() -> None:
    config = config_of(encoder={"text_template": "{title} {brnd}"})
    with pytest.raises(SourceError, match=r"'brnd'.*text_template.*did you mean 'brand'"):
        items(config=config, item_id=["1"], title=["a"], brand=["b"])


def test_availability_is_told_by_words_and_by_stock() -> None:
    words = {
        "true": True, "FALSE": False, "1": True, "0": False, "yes": True, "No": False,
        "In Stock": True, "out of stock": False, "12": True, "-3": False, "": True,
        "sold out": False, "0.0": False,
    }  # fmt: skip
    columns = {"item_id": [str(n) for n in range(len(words))], "title": ["t"] * len(words)}
    typed, _ = items(available=list(words), **columns)
    assert typed["available"].to_list() == list(words.values())
    _, rejects = items(item_id=["1", "2"], title=["a", "b"], available=["perhaps", "nan"])
    assert rejects["reason"].to_list() == ["available is neither yes nor no"] * 2
    typed, _ = items(item_id=["1", "2"], title=["a", "b"], available=[0.0, float("nan")])
    assert typed["available"].to_list() == [False, True]
    typed, _ = items(item_id=["1", "2"], title=["a", "b"], available=[False, None])
    assert typed["available"].to_list() == [False, True]


def test_items_are_rejected_without_an_id_or_with_a_bad_time() -> None:
    typed, rejects = items(
        item_id=["", "2", "3"], title=["a", "b", "c"], updated_at=["", "yesterday", None]
    )
    assert typed["item_id"].to_list() == ["3"]
    assert rejects["reason"].to_list() == [
        "item_id is missing",
        "updated_at is not a time in 1970 to 9999 (number or ISO 8601)",
    ]


def test_the_item_id_of_the_catalogue_may_have_another_name() -> None:
    config = config_of({"columns": {"item_id": "sku", "items_item_id": "code"}})
    assert items(config=config, code=["1"], title=["a"])[0].height == 1
    with pytest.raises(SourceError, match=r"no column 'code'.*source\.columns\.items_item_id"):
        items(config=config, sku=["1"], title=["a"])
