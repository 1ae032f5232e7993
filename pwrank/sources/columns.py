"""Which column of a source plays which role."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pwrank.config import ColumnsConfig, SourceConfig
from pwrank.errors import ColumnError, SourceError
from pwrank.sources.files import (
    LINE_COLUMN,
    SourceFile,
    Table,
    did_you_mean,
    holds_json,
    holds_parquet,
)

_OPTIONAL: Mapping[Table, tuple[str, ...]] = {
    "interactions": ("rating", "event", "weight"),
    "items": ("title", "text", "category", "available", "updated_at"),
    "users": (),
}
ID_COLUMNS: Mapping[Table, tuple[str, ...]] = {
    "interactions": ("user_id", "item_id"),
    "items": ("item_id",),
    "users": ("user_id",),
}
"""Ids that a row of each table must have."""
_TIMES: Mapping[Table, tuple[str, ...]] = {"interactions": ("timestamp",), "items": (), "users": ()}
_LOOKS_LIKE_TIME = re.compile(
    r"time|date|epoch|(^|[^a-z])(ts|when|day|year|month)([^a-z]|$)|[a-z]_at$|[a-z]At$",
    re.IGNORECASE,
)

_VALUE = re.compile(r"(?!(19|20)\d\d$)(-?\d+([.,]\d+)?|\d+[-/.]\d+[-/.]\d+.*)")
"""A number, or a date in front: no name of a column, but for a year."""


def header_of(table: Table, source: SourceConfig) -> tuple[str, ...]:
    """The names that `[source.header]` gives the columns of a table; () where files have a header.

    A file that is both interactions and items may be told once.
    """
    told: tuple[str, ...] = getattr(source.header, table)
    same_file = table == "items" and source.items and source.items == source.interactions
    return source.header.interactions if same_file and not told else told


def column_roles(columns: Sequence[str], file: SourceFile, source: SourceConfig) -> dict[str, str]:
    """Our column name -> the source's, for those that are there.

    Raises SourceError, with the nearest match, if a required or an explicitly named one is not.
    A name may differ in upper and lower case. A role whose name is set to "" has no column.
    Interactions may also lack `timestamp` where no column is left that could be one.
    """
    present = [name for name in columns if name != LINE_COLUMN]
    ours = ColumnsConfig() if source.kind == "movielens" else source.columns
    for name in _OPTIONAL[file.table]:
        if name in ours.model_fields_set and (wanted := getattr(ours, name)):
            _required(name, wanted, present, file, source)
    if file.table != "items":
        ids = ID_COLUMNS[file.table]
        roles = {name: _required(name, getattr(ours, name), present, file, source) for name in ids}
        roles |= _timestamp(ours, present, file) if file.table == "interactions" else {}
    else:
        named = {"item_id", "items_item_id"} & ours.model_fields_set
        key = "items_item_id" if named else "item_id"
        roles = {
            "item_id": _required(key, ours.items_item_id or ours.item_id, present, file, source)
        }
    for name in _OPTIONAL[file.table]:
        wanted = getattr(ours, name)
        if wanted and (found := _same_name(wanted, present)):
            roles[name] = found
    if file.table == "items" and not {"title", "text"} & set(roles):
        hint = did_you_mean(ours.title, present) or did_you_mean(ours.text, present)
        wanted = " or ".join(repr(name) for name in (ours.title, ours.text) if name)
        raise ColumnError(
            f"{file.path}: catalogue without text: no column {wanted}"
            f"{hint or ';'} found: {_listed(present)}; "
            "set source.columns.title or source.columns.text"
        )
    return roles


def asked_columns(table: Table, source: SourceConfig) -> dict[str, str]:
    """Our column name -> the source's, for all that a table may have."""
    ours = ColumnsConfig() if source.kind == "movielens" else source.columns
    roles = (*ID_COLUMNS[table], *_OPTIONAL[table], *_TIMES[table])
    names = {role: getattr(ours, role) for role in roles}
    if table == "items":
        names["item_id"] = ours.items_item_id or ours.item_id
    return {role: name for role, name in names.items() if name}


def refuse_nested(nested: Mapping[str, str], file: SourceFile, source: SourceConfig) -> None:
    """Refuse a file in which a column that is to be read holds structures: name -> its type.

    Passed over in silence, what nobody may be offered would be, and times would be none.
    """
    for role, wanted in asked_columns(file.table, source).items():
        if found := _same_name(wanted, list(nested)):
            way_out = "" if role in ID_COLUMNS[file.table] else ', to "" to do without'
            raise SourceError(
                f"{file.path}: column {found!r} holds {nested[found]}, which is no {role}; "
                f"write it as text or a number, or set source.columns.{role}{way_out}"
            )


_SHOWN = 20


def _same_name(wanted: str, present: Sequence[str]) -> str | None:
    """The column of that name, or the only one that differs in upper and lower case."""
    if wanted in present:
        return wanted
    alike = [name for name in present if name.lower() == wanted.lower()]
    return alike[0] if len(alike) == 1 else None


def _required(
    key: str, wanted: str, present: Sequence[str], file: SourceFile, source: SourceConfig
) -> str:
    if found := _same_name(wanted, present):
        return found
    hint = did_you_mean(wanted, present) or ";"
    way_out = f"set source.columns.{key}"
    names_columns = holds_json(file.path) or holds_parquet(file.path)
    known = {name.lower() for name in asked_columns(file.table, source).values()}
    is_data = any(_VALUE.fullmatch(name) for name in present)
    if not names_columns and (is_data or not known & {name.lower() for name in present}):
        way_out += f", or name its columns in source.header.{file.table}, if its first line is data"
    raise ColumnError(
        f"{file.path}: no column {wanted!r}{hint} found: {_listed(present)}; {way_out}"
    )


def _timestamp(ours: ColumnsConfig, present: Sequence[str], file: SourceFile) -> dict[str, str]:
    wanted = ours.timestamp
    if not wanted:
        return {}
    if found := _same_name(wanted, present):
        return {"timestamp": found}
    roles = (*ID_COLUMNS["interactions"], *_OPTIONAL["interactions"])
    # Also by the usual names: a weight that is not to be read is no time either.
    taken = {getattr(names, role).lower() for role in roles for names in (ours, ColumnsConfig())}
    candidates = [name for name in present if name.lower() not in taken]
    like = [name for name in candidates if _LOOKS_LIKE_TIME.search(name)]
    if "timestamp" not in ours.model_fields_set and not candidates:
        return {}
    hint = f"; did you mean {like[0]!r}?" if like else did_you_mean(wanted, candidates) or ";"
    raise ColumnError(
        f"{file.path}: no column {wanted!r}{hint} found: {_listed(present)}; "
        'set source.columns.timestamp, to "" if there are no times'
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:60] for name in names[:_SHOWN])
    return f"{shown}, ... ({len(names)} columns)" if len(names) > _SHOWN else shown
