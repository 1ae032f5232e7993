"""One person, and how to know them in cells, lines, samples and pages."""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from pwrank.landing.suppression import Suppression
from pwrank.report.page import words_of_every_page

SAMPLES = frozenset({"sample", "samples", "example", "examples", "user_id", "user_ids"})
"""Keys of JSON files under which a person may stand; elsewhere the same text is something else."""

FORGOTTEN_SAMPLE = "(forgotten)"


@dataclass(frozen=True)
class Person:
    """Somebody by the id that the lake has for them."""

    user_id: str | int
    suppression: Suppression
    """Holds this person alone."""

    @property
    def text(self) -> str:
        """The id as text."""
        return str(self.user_id)

    @property
    def is_telling(self) -> bool:
        """Whether the id can be told from a count in running text."""
        return not self.text.lstrip("-").isdigit()

    @functools.cached_property
    def spelled(self) -> frozenset[str]:
        """The id as CSV, JSON, HTML or Python would spell it."""
        text = self.text
        spelled = {text, text.replace('"', '""'), html.escape(text), repr(text)[1:-1]}
        spelled |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        return frozenset(spelled | ({text.strip()} - {""}))

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """The id as a word of its own, however it is spelled."""
        words = sorted(map(_as_word, self.spelled), key=len, reverse=True)
        return re.compile("|".join(words))

    def is_in(self, text: str) -> bool:
        """Whether a text names the id."""
        return self.pattern.search(text) is not None

    def is_in_raw(self, raw: str) -> bool:
        """Whether a reject's text names the id, in a cell of a row or anywhere in a broken line."""
        try:
            row = json.loads(raw)
        except ValueError:  # cut off
            return self.is_in(raw)
        if not isinstance(row, dict):
            return self.is_in(str(row))
        told = any(self.is_in(str(value)) for value in row.values()) if self.is_telling else False
        return told or self.suppression.is_in_raw(raw)

    def is_in_page(self, page: str) -> bool:
        """Whether an HTML page shows the person: as a user, or in the sample of a gate.

        An id that stands in a page without data, such as “a” or “*”, tells nothing elsewhere.
        """
        text = html.unescape(page)
        if self.is_telling and not self.is_in(words_of_every_page()):
            return self.is_in(text)
        ids = "|".join(re.escape(each) for each in sorted(self.spelled))
        shown = rf"User <bdi>\s*({ids})\s*</bdi>|user_id['\"]?: ['\"]?\s*({ids})(?!\w)"
        return re.search(shown, text) is not None

    def is_id(self, cell: str) -> bool:
        """Whether a cell of a file of ids is theirs; 7.0 is 7 where ids are numbers."""
        told = cell.strip()
        if isinstance(self.user_id, int):
            told = told.removesuffix(".0")
        return told == self.text.strip()

    def rows(self, user_ids: pl.Expr) -> pl.Expr:
        """Whether each row is theirs; a row without an id is not.

        Lakes may hold ids with white space around them, from before landing took it off.
        """
        if isinstance(self.user_id, str):
            user_ids = user_ids.str.strip_chars()
        return (user_ids == pl.lit(self.user_id)).fill_null(value=False)

    def without(self, value: Any, *, key: str = "") -> Any:
        """A JSON value with the samples that name the person taken out."""
        if isinstance(value, dict):
            return {name: self.without(inner, key=name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.without(inner, key=key) for inner in value]
        return FORGOTTEN_SAMPLE if key in SAMPLES and self._is_value(value) else value

    def in_samples(self, value: Any) -> bool:
        """Whether a JSON value has a sample that names the person."""
        return any(key in SAMPLES and self._is_value(leaf) for key, leaf in leaves(value))

    def _is_value(self, value: Any) -> bool:
        return not isinstance(value, bool | float | None) and self.is_in(str(value))


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value in a JSON value, with the key under which it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield "names of keys", name
            yield from leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, key)
    else:
        yield key, value


def _as_word(text: str) -> str:
    """Pattern of a text that is not part of a longer word."""
    before = r"(?<!\w)" if re.match(r"\w", text) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", text) else ""
    return f"{before}{re.escape(text)}{after}"
