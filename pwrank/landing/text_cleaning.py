"""Text as people read it: no HTML, no control characters, one kind of space, Unicode NFC."""

from __future__ import annotations

import html
import re
import unicodedata

import polars as pl

_NEEDS_CLEANING = r"[^\x20-\x7e]|[&<]|  |^ | $"
_ROUNDS = 8
"""Text that was escaped more often than this stays escaped; each round costs a pass."""
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "em", "font", "i", "ins"),
    *("kbd", "mark", "q", "s", "small", "span", "strike", "strong", "sub", "sup", "tt", "u"),
    *("var", "wbr"),
}
"""Tags inside words; every other tag separates them."""
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]*)(?:\s[^<>]*|/)?>|<[!?][^<>]*>")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_INVISIBLE_BLOCK = re.compile(
    r"<(script|style)\b.*?</(?:script|style)[^<>]*>", re.DOTALL | re.IGNORECASE
)
_END_OF_BLOCK = re.compile(r"</(?:script|style)[^<>]*>", re.IGNORECASE)
_UNSEEN = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
"""Controls, zero width and direction marks, what is no character at all; joiners stay, since
Persian and emoji need them."""


def clean_text(text: str) -> str:
    """One cleaned text; cleaning it again changes nothing."""
    for _ in range(_ROUNDS):
        cleaned = _clean_once(text)
        if cleaned == text:
            break
        text = cleaned
    return text


def clean_series(texts: pl.Series) -> pl.Series:
    """Each text cleaned; null becomes ''. Equal texts are cleaned once, plain ASCII never."""
    texts = texts.cast(pl.String).fill_null("")
    dirty = texts.str.contains(_NEEDS_CLEANING)
    if not dirty.any():
        return texts
    originals = texts.filter(dirty).unique()
    cleaned = pl.Series([clean_text(text) for text in originals], dtype=pl.String)
    return texts.replace(originals, cleaned)


def _clean_once(text: str) -> str:
    text = _UNSEEN.sub("", html.unescape(text))
    if "<" in text:
        text = _without_tags(text)
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _without_tags(text: str) -> str:
    """Scripts, styles and comments go with their content; a block tag leaves a space.

    The lazy patterns only see the text up to its last terminator, so that each attempt finds one
    and hostile input costs no more than its length.
    """
    end = text.rfind("-->") + len("-->")
    if end >= len("-->"):
        text = _COMMENT.sub(" ", text[:end]) + text[end:]
    ends = [match.end() for match in _END_OF_BLOCK.finditer(text)]
    if ends:
        text = _INVISIBLE_BLOCK.sub(" ", text[: ends[-1]]) + text[ends[-1] :]
    return _TAG.sub(lambda tag: "" if (tag[1] or "").lower() in _INLINE else " ", text)
