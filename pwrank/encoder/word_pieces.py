"""The tokenizer of BERT from its file, without transformers: the same ids, a second sooner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}

NO_LIMIT = int(1e30)
"""Tokens of a text where the files tell no limit, as transformers has it."""


class WordPieces:
    """Token ids as a tokenizer of transformers gives them, for what an encoder asks of it."""

    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __init__(self, tokenizer: Tokenizer, model_max_length: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.backend_tokenizer = tokenizer
        self.model_max_length = model_max_length
        """Tokens that a text may have."""
        self.cls_token_id = tokenizer.token_to_id(SPECIAL["cls"])

    def __call__(
        self, texts: Sequence[str], *, max_length: int, **_: Any
    ) -> Mapping[str, list[list[int]]]:
        """`input_ids` of each text, cut to `max_length`; other arguments change nothing."""
        self.backend_tokenizer.enable_truncation(max_length)
        told = self.backend_tokenizer.encode_batch(list(texts))
        return {"input_ids": [encoding.ids for encoding in told]}


def read_word_pieces(folder: Path) -> WordPieces | None:
    """The tokenizer in a folder; None where transformers might not read it as it stands there."""
    whole, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not whole.is_file() or not settings.is_file() or (folder / "added_tokens.json").is_file():
        return None
    told, content = json.loads(settings.read_bytes()), json.loads(whole.read_bytes())
    names = folder / "special_tokens_map.json"
    named = told | (json.loads(names.read_bytes()) if names.is_file() else {})
    if not (_is_usual(told) and _is_usual(named) and _is_built_so(content, told)):
        return None
    limit = told.get("model_max_length") or NO_LIMIT
    return WordPieces(Tokenizer.from_file(str(whole)), int(limit))


def _is_usual(told: Mapping[str, Any]) -> bool:
    """Whether a tokenizer_config.json names BERT's own tokenizer and its usual special tokens."""
    names = {name: _text(told.get(f"{name}_token", usual)) for name, usual in SPECIAL.items()}
    added = [_text(token) for token in (told.get("added_tokens_decoder") or {}).values()]
    others = ("bos_token", "eos_token", "additional_special_tokens", "extra_special_tokens")
    return (
        told.get("tokenizer_class") in {"BertTokenizer", "BertTokenizerFast"}
        and names == SPECIAL
        and set(added) <= set(SPECIAL.values())
        and not any(told.get(name) for name in (*others, "auto_map"))
        and told.get("truncation_side", "right") == "right"
    )


def _text(token: Any) -> Any:
    return token.get("content") if isinstance(token, Mapping) else token


def _is_built_so(content: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether tokenizer.json says what transformers builds anew from vocabulary and settings."""
    model = dict(content.get("model") or {})
    vocabulary = model.pop("vocab", {})
    marks = {name: vocabulary.get(token) for name, token in SPECIAL.items()}
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": told.get("tokenize_chinese_chars", True),
        "strip_accents": told.get("strip_accents"),
        "lowercase": told.get("do_lower_case", True),
    }
    wanted = {
        "type": "WordPiece",
        "unk_token": SPECIAL["unk"],
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    return (
        wanted == {"type": "WordPiece"} | model
        and content.get("normalizer") == normalizer
        and content.get("pre_tokenizer") == {"type": "BertPreTokenizer"}
        and _surrounds(content.get("post_processor"), marks)
        and all(_is_mark(token, vocabulary) for token in content.get("added_tokens") or ())
        and None not in marks.values()
    )


def _surrounds(after: Any, marks: Mapping[str, int | None]) -> bool:
    """Whether a text stands between [CLS] and [SEP]."""
    if not isinstance(after, Mapping) or after.get("type") != "TemplateProcessing":
        return False
    parts = [part.get("SpecialToken", {}).get("id", "text") for part in after["single"]]
    ids = {name: token["ids"] for name, token in after["special_tokens"].items()}
    return parts == [SPECIAL["cls"], "text", SPECIAL["sep"]] and ids == {
        SPECIAL[name]: [marks[name]] for name in ("cls", "sep")
    }


def _is_mark(token: Mapping[str, Any], vocabulary: Mapping[str, int]) -> bool:
    """Whether an added token is one of the special ones, found wherever it stands in a text."""
    plain = not any(token.get(name) for name in ("single_word", "lstrip", "rstrip", "normalized"))
    known = vocabulary.get(token["content"]) == token["id"]
    return plain and known and token["special"] and token["content"] in SPECIAL.values()
