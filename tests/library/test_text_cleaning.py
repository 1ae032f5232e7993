"""Cleaning of text: what people read stays, everything else goes."""

from __future__ import annotations

import time
import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pwrank.landing.text_cleaning import clean_series, clean_text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("Toy Story (1995)", "Toy Story (1995)"),
        ("  a \t b\r\n c\u00a0d ", "a b c d"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("<p>one</p><p>two</p>", "one two"),
        ("<b>bo</b>ld <BR/>next", "bold next"),
        ("&lt;i&gt;escaped&lt;/i&gt; tags", "escaped tags"),
        ("before<script>alert('x > y')</script>after", "before after"),
        ("a<style type='text/css'>p {}</style>b", "a b"),
        ("a <!-- hidden > still --> b", "a b"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("Home > Kitchen | Bath", "Home > Kitchen | Bath"),
        ("I <3 you", "I <3 you"),
        ("nul\0 bell\a del\x7f", "nul bell del"),
        ("zero\u200bwidth \u202eevil\u202c soft\u00adhyphen", "zerowidth evil softhyphen"),
        (
            "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
            "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
        ),
        ("\ud800half a character", "half a character"),
        ("\ufeffmark", "mark"),
        ("   ", ""),
        ("", ""),
    ],
)
def test_what_people_read_stays_and_markup_goes(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean


@given(st.text(alphabet=st.characters() | st.sampled_from("<>&;/!-ab ")))
def test_cleaned_text_is_clean_for_good(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert cleaned == unicodedata.normalize("NFC", " ".join(cleaned.split()))
    cleaned.encode()


def test_missing_text_is_the_empty_text() -> None:
    texts = pl.Series("text", [None, "", "  ", "a&nbsp;b", "plain"])
    assert clean_series(texts).to_list() == ["", "", "", "a b", "plain"]
    assert clean_series(pl.Series([], dtype=pl.String)).to_list() == []


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
def test_a_column_is_cleaned_like_each_of_its_texts(texts: list[str | None]) -> None:
    cleaned = clean_series(pl.Series("text", texts, dtype=pl.String))
    assert cleaned.to_list() == [clean_text(text or "") for text in texts]


@pytest.mark.parametrize(
    "hostile", ["<", "<!--", "<script>", "</script", "<script x", "&amp;", "--><!--"]
)
def test_hostile_markup_takes_no_more_time_than_its_length(hostile: str) -> None:
    begin = time.process_time()
    clean_text(hostile * 100_000)
    assert time.process_time() - begin < 5
