"""The catalogue: one row an item, the latest the date may know, with the text that is embedded."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from pwrank.config import CleanConfig
from pwrank.datasets import ITEMS, IdTypes
from pwrank.errors import SourceError
from pwrank.views.catalogue import catalogue_rows, latest_items, render_text

TEMPLATE = "{title}. {category}. {text}"
EARLY, LATE = (datetime(2024, 3, day, tzinfo=UTC) for day in (1, 5))


def item(item_id="a", title="Teapot", text="", category="", **other):
    row = dict.fromkeys(ITEMS.columns)
    row |= {"item_id": item_id, "title": title, "text": text, "category": category}
    row |= {"available": True, "ingested_at": EARLY, "attributes": "{}"}
    return row | {"source_file": "items.csv", "source_line": 2} | other


def items(*rows):
    numbered = [{**row, "source_line": row["source_line"] + n} for n, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=ITEMS.schema(IdTypes()))


def titles(frame):
    return dict(frame.select("item_id", "title").rows())


def test_the_later_file_and_in_it_the_later_line_wins():
    rows = items(
        item(title="third", source_file="items-2.csv"),
        item(title="first", source_file="items-1.csv"),
        item(title="second", source_file="items-1.csv"),
    )
    assert titles(latest_items(rows, "last")) == {"a": "third"}


def test_a_later_update_wins_over_a_later_file_and_rows_without_one_lose():
    rows = items(
        item(title="new", updated_at=LATE, source_file="items-1.csv"),
        item(title="old", updated_at=EARLY, source_file="items-2.csv"),
        item(title="undated", source_file="items-3.csv"),
    )
    assert titles(latest_items(rows, "last")) == {"a": "new"}


def test_the_most_frequent_version_wins_but_never_an_empty_one():
    rows = items(*[item(title="") for _ in range(5)], *[item(title=t) for t in "xyxyxz"])
    assert titles(latest_items(rows, "most_frequent")) == {"a": "x"}
    assert titles(latest_items(items(item(title="")), "most_frequent")) == {"a": ""}


def test_of_equally_frequent_versions_the_last_wins():
    rows = items(*[item(title=title) for title in "xyyx"])
    assert titles(latest_items(rows, "most_frequent")) == {"a": "x"}


def test_one_file_that_says_two_things_of_an_item_is_refused_naming_file_line_and_cure():
    rows = items(item(), item("b"), item(title="Coffee pot"))
    with pytest.raises(SourceError) as caught:
        catalogue_rows(rows, CleanConfig(), TEMPLATE)
    told = str(caught.value)
    parts = ["items.csv: 1 item ids", "'a' (line 2: title 'Teapot')", 'duplicate_items = "last"']
    assert all(part in told for part in parts)
    assert caught.value.exit_code == 2
    assert titles(catalogue_rows(rows, CleanConfig(duplicate_items="last"), TEMPLATE)) == {
        "a": "Coffee pot",
        "b": "Teapot",
    }


def test_two_files_or_two_dates_may_disagree():
    rows = items(item(), item(title="New", source_file="later.csv"))
    assert titles(catalogue_rows(rows, CleanConfig(), TEMPLATE)) == {"a": "New"}
    rows = items(item(updated_at=EARLY), item(title="New", updated_at=LATE))
    assert titles(catalogue_rows(rows, CleanConfig(), TEMPLATE)) == {"a": "New"}


def test_the_same_row_twice_is_no_contradiction():
    assert catalogue_rows(items(item(), item()), CleanConfig(), TEMPLATE).height == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"category": "Kitchen", "text": "For tea."}, "Teapot. Kitchen. For tea."),
        ({"text": "For tea."}, "Teapot. For tea."),
        ({"title": "", "category": "Kitchen"}, "Kitchen"),
        ({"title": "Who?", "category": "Film"}, "Who? Film"),
        ({"title": ""}, ""),
    ],
)
def test_empty_parts_of_the_template_vanish_with_what_joins_them(values, text):
    assert render_text(items(item(**values)), TEMPLATE).to_list() == [text]


def test_extra_columns_of_the_source_can_stand_in_the_template():
    rows = items(item(attributes='{"brand": "Acme", "tag": ""}'))
    assert render_text(rows, "{brand}: {title} ({tag})").to_list() == ["Acme: Teapot"]


def test_equal_texts_have_equal_hashes_and_no_text_has_none():
    rows = catalogue_rows(items(item(), item("b"), item("c", title="")), CleanConfig(), TEMPLATE)
    first, second, none = rows["content_hash"].to_list()
    assert first == second != ""
    assert none == ""


def catalogue_of(world, rows, as_of=date(2024, 3, 8), **sections):
    world.write_items(rows)
    known = world.ingest(as_of=as_of, **sections)
    return pl.read_parquet(known.catalogue.file_paths(world.store.lake))


def test_an_update_of_the_future_is_invisible_until_its_day(tiny_world):
    base = {"item_id": "000", "title": "old", "updated_at": "2024-03-01"}
    rows = [base, base | {"title": "new", "updated_at": "2024-03-08T00:00:00Z"}]
    rows.append({"item_id": "future", "title": "unknown yet", "updated_at": "2024-03-09"})
    assert titles(catalogue_of(tiny_world, rows)) == {"000": "old"}
    after = catalogue_of(tiny_world, rows, as_of=date(2024, 3, 10))
    assert titles(after) == {"000": "new", "future": "unknown yet"}


def test_markup_and_entities_never_reach_the_encoder(tiny_world):
    text = "a<br>b <script>x()</script>"
    rows = [{"item_id": "000", "title": "<b>Tea&amp;Pot</b>", "text": text}]
    text = catalogue_of(tiny_world, rows)["text"].item()
    assert "<" not in text
    assert "&amp;" not in text
    assert text.startswith("Tea&Pot. a b")


def test_extra_columns_come_from_the_source_and_a_missing_one_is_refused(tiny_world):
    rows = [{"item_id": "000", "title": "Pot", "brand": "Acme"}]
    told = catalogue_of(tiny_world, rows, encoder={"text_template": "{brand}: {title}"})
    assert told["text"].item() == "Acme: Pot"
    with pytest.raises(SourceError, match=r"no column 'brnd'.*did you mean 'brand'"):
        catalogue_of(tiny_world, rows, encoder={"text_template": "{brnd}"})


def test_a_template_without_a_column_is_refused(tiny_world):
    with pytest.raises(SourceError, match="names no column"):
        tiny_world.ingest(encoder={"text_template": "an item"})


def test_a_catalogue_with_nothing_to_offer_is_refused(tiny_world):
    with pytest.raises(SourceError, match=r"none of the 1 items .* is available"):
        catalogue_of(tiny_world, [{"item_id": "000", "title": "Pot", "available": False}])
