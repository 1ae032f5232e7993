"""Sources: any supported files -> raw rows, streamed, with physical line numbers.

A new kind is a module with `list_files`, `read_batches` and `id_types`, and a line in KINDS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pwrank.config import SourceConfig
from pwrank.datasets import IdTypes
from pwrank.sources import movielens, tables
from pwrank.sources.columns import column_roles
from pwrank.sources.files import BROKEN_ROWS, LINE_COLUMN, RawBatch, SourceFile, Table

__all__ = [
    "BROKEN_ROWS",
    "KINDS",
    "LINE_COLUMN",
    "RawBatch",
    "SourceFile",
    "Table",
    "column_roles",
    "id_types",
    "list_files",
    "read_batches",
]


class _ListFiles(Protocol):
    def __call__(self, source: SourceConfig) -> list[SourceFile]: ...


class _ReadBatches(Protocol):
    def __call__(
        self, file: SourceFile, source: SourceConfig, *, batch_rows: int
    ) -> Iterator[RawBatch]: ...


class _IdTypes(Protocol):
    def __call__(self, files: Sequence[SourceFile], source: SourceConfig) -> IdTypes: ...


@dataclass(frozen=True)
class SourceKind:
    """How one kind of source is found and read."""

    list_files: _ListFiles
    read_batches: _ReadBatches
    id_types: _IdTypes


KINDS = {
    "tables": SourceKind(tables.list_files, tables.read_batches, tables.id_types),
    "movielens": SourceKind(movielens.list_files, movielens.read_batches, movielens.id_types),
}


def list_files(source: SourceConfig) -> list[SourceFile]:
    """Files of the source, by table and name. Raises SourceError if one table has none."""
    return KINDS[source.kind].list_files(source)


def read_batches(
    file: SourceFile, source: SourceConfig, *, batch_rows: int = 200_000
) -> Iterator[RawBatch]:
    """Stream one file in batches of about `batch_rows`, which bound the memory.

    At least one batch comes, maybe empty.

    Raises SourceError for what concerns the file as a whole: empty, not what its suffix says,
    cut off, a column missing.
    """
    return KINDS[source.kind].read_batches(file, source, batch_rows=batch_rows)


def id_types(files: Sequence[SourceFile], source: SourceConfig) -> IdTypes:
    """Types of the ids, from the first rows of each file; fixed by the lake at its first ingest."""
    return KINDS[source.kind].id_types(files, source)
