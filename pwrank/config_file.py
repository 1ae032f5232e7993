"""From a TOML file and the environment to one resolved configuration, or to every mistake in it."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pwrank.config import Config
from pwrank.config_numbers import FromEnvironment
from pwrank.errors import ConfigError, without_credentials

ENVIRONMENT_PREFIX = "PWRANK__"

FEW_KEYS = 12
"""So many keys of a section are all told where none is near to an unknown one."""

Location = tuple[int | str, ...]
"""Sections and key, as pydantic tells where an error is."""


def load_config(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read a TOML configuration; relative paths start at its folder.

    Raises ConfigError with every mistake in the file, one a line.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `pwrank init` writes one") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder, not a configuration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    overrides = {
        name: value
        for name, value in (environment or {}).items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    set_by: dict[Location, str] = {}
    for name, value in overrides.items():
        set_by |= dict.fromkeys(_override(raw, name, value), f"environment {name}")
    return resolve_config(raw, folder=path.parent, place=str(path), set_by=set_by)


def resolve_config(
    raw: Mapping[str, Any],
    *,
    folder: Path,
    place: str,
    set_by: Mapping[Location, str] | None = None,
) -> Config:
    """Validate a raw mapping; `place` names it in errors, except for what `set_by` says."""
    _refuse_credentials(raw, (), set_by or {}, place)
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        lines = [
            f"{_place(details['loc'], set_by or {}, place)}: {_explain(dict(details))}"
            for details in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from None
    source = config.source
    needed = ("folder",) if source.kind == "movielens" else ("interactions", "items")
    missing = [name for name in needed if getattr(source, name) is None]
    if missing:
        keys = " and ".join(f"`{name}`" for name in missing)
        raise ConfigError(f"{place}: [source] kind = {source.kind!r} needs {keys}")
    paths = {
        name: folder.absolute() / value
        for name in ("interactions", "items", "users", "folder")
        if (value := getattr(source, name)) is not None
    }
    model = folder.absolute() / config.encoder.model
    encoder = {"model": str(model)} if model.is_dir() else {}
    return config.model_copy(
        update={
            "lake": folder.absolute() / config.lake,
            "source": source.model_copy(update=paths),
            "encoder": config.encoder.model_copy(update=encoder),
        }
    )


def _refuse_credentials(
    value: Any, location: Location, set_by: Mapping[Location, str], place: str
) -> None:
    """Raise ConfigError for a URL with a password: a configuration is copied to many places."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_credentials(inner, (*location, key), set_by, place)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _refuse_credentials(inner, (*location, number), set_by, place)
    elif isinstance(value, str) and without_credentials(value) != value:
        dotted = ".".join(map(str, location))
        raise ConfigError(
            f"{_place(location, set_by, place)}: {dotted} = {value!r}: a URL with credentials; "
            "leave them out, and give them in the environment of the program that needs them"
        )


def section_hash(*sections: BaseModel | Mapping[str, Any] | str) -> str:
    """Stable hash of configuration sections; the same values give the same hash on any machine."""
    parts = [
        section.model_dump(mode="json") if isinstance(section, BaseModel) else section
        for section in sections
    ]
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _override(raw: dict[str, Any], name: str, value: str) -> list[Location]:
    """Set `PWRANK__A__B=value` in the raw mapping; the value is read as TOML where it parses.

    Returns what is there because of it: the key, and the sections that the mapping lacked.
    """
    *sections, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
    target = raw
    made: list[Location] = [(*sections, key)]
    for depth, section in enumerate(sections, start=1):
        if section not in target:
            made.append(tuple(sections[:depth]))
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise ConfigError(f"environment {name}: {section!r} is not a section")
    try:
        told = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        told = value
    target[key] = FromEnvironment(told) if isinstance(told, str) else told
    return made


def _place(location: Location, set_by: Mapping[Location, str], otherwise: str) -> str:
    """Where the mistake stands: what set the location itself, else what set what it is in."""
    inside_out = (location[:depth] for depth in range(len(location), 0, -1))
    return next((set_by[part] for part in inside_out if part in set_by), otherwise)


def _explain(details: dict[str, Any]) -> str:
    """One line of pydantic's error, in our words."""
    location = [str(part) for part in details["loc"]]
    dotted = ".".join(location)
    if details["type"] == "extra_forbidden":
        return f"unknown key {dotted!r}{_hint(location[-1], location[:-1])}"
    if details["type"] == "missing":
        in_list = any(part.isdigit() for part in location)  # of which `init` writes none
        hint = "" if in_list else "; `pwrank init` writes a file that has all it needs"
        return f"missing key {dotted!r}{hint}"
    if isinstance(details["input"], dict) and details["type"] == "value_error":
        return f"[{dotted}]: {_reason(details, location)}"
    return f"{dotted} = {details['input']!r}: {_reason(details, location)}"


def _reason(details: dict[str, Any], location: list[str]) -> str:
    """What is wrong with a value, without pydantic's names for things."""
    if details["type"] in ("model_type", "model_attributes_type", "dict_type"):
        header = ".".join(part for part in location if not part.isdigit())
        header = f"[{header}]" if location[-1].isdigit() else header
        return f"is a section, not a value; write [{header}]"
    if details["type"] == "tuple_type":
        return "must be a list"
    if details["type"] == "path_type":
        return "must be a path, in quotes"
    told = str(details["msg"]).removeprefix("Value error, ")
    told = told.replace("a valid integer", "an integer").replace("a valid ", "a ")
    return told.replace("Input should", "must")


def _hint(key: str, sections: list[str]) -> str:
    """Where an unknown key belongs, else the nearest key of its section, else all if few; or ''."""
    if places := [_header(place) for place in _places_of(key, Config)]:
        return f"; {key!r} stands {' and '.join(places)}"
    keys = _valid_keys(sections)
    near = difflib.get_close_matches(key, keys, n=1) or [
        name for name in keys if name in key.split("_")
    ]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known there: {', '.join(keys)}" if len(keys) <= FEW_KEYS else ""


def _places_of(key: str, model: type[BaseModel], *sections: str) -> Iterator[tuple[str, ...]]:
    """Sections that have a key of that name, from the outside in."""
    for name, field in model.model_fields.items():
        section = _section_of(field.annotation)
        if name == key and section is None:
            yield sections
        if section:
            yield from _places_of(key, section, *sections, name)


def _header(sections: tuple[str, ...]) -> str:
    if sections == ("clean", "reject"):
        return "in [[clean.reject]]"
    return f"in [{'.'.join(sections)}]" if sections else "at the top, before every [section]"


def _valid_keys(sections: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for name in sections:
        if not name.isdigit():
            model = _section_of(model.model_fields[name].annotation) or model
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, one or a list of them; None if it holds a value."""
    kinds = (annotation, *get_args(annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
