"""The embeddings of one encoder in a lake: part files by content hash, shared by all dates.

A part is written whole and never changed. When many are small they are merged: first the merged
part is written, then its sources go. So at any moment every vector is in some part, and whoever
finds that a listed part has gone looks at the folder again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pwrank.datasets import DatasetRef, embeddings_schema
from pwrank.errors import ContractError, LakeError
from pwrank.store import Store, write_parquet

FULL_ROWS = 65_536
"""Rows from which a part is left alone: 100 MB at 384 columns, read in one go."""

MOST_SMALL_PARTS = 32
"""With more parts than this below FULL_ROWS, they are merged."""

UNIT_TOLERANCE = 1e-3

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingParts:
    """The part files in one folder."""

    folder: Path

    def paths(self) -> list[Path]:
        """Every part, the largest first.

        Raises FileNotFoundError if one is merged away meanwhile: look again, what it held is in
        a part that this listing may lack.
        """
        sizes = [(path.stat().st_size, path) for path in self.folder.glob("part-*.parquet")]
        return [path for _, path in sorted(sizes, key=lambda pair: (-pair[0], pair[1].name))]

    def cover(self, wanted: pl.Series) -> tuple[list[Path], pl.Series]:
        """Parts that together hold the wanted content hashes, and the hashes that none holds."""
        while True:
            try:
                return self._cover(wanted)
            except FileNotFoundError:  # merged into another part meanwhile
                continue

    def _cover(self, wanted: pl.Series) -> tuple[list[Path], pl.Series]:
        missing = wanted.rename("content_hash").unique().sort().to_frame()
        needed = []
        for path in self.paths():
            if missing.is_empty():
                break
            left = missing.join(_read(path, ["content_hash"]), on="content_hash", how="anti")
            if left.height < missing.height:
                needed.append(path)
            missing = left
        return sorted(needed), missing["content_hash"].sort()

    def write(self, hashes: Sequence[str], vectors: Vectors) -> Path:
        """Check vectors (n, dim) and write them as a part, named by its hashes."""
        if vectors.shape[0] != len(hashes):
            raise ContractError(f"{len(hashes)} texts were encoded to {vectors.shape[0]} vectors")
        norms = np.linalg.norm(vectors, axis=1)
        if not np.all(np.abs(norms - 1.0) <= UNIT_TOLERANCE):  # not finite counts as wrong too
            wrong = int(np.sum(~(np.abs(norms - 1.0) <= UNIT_TOLERANCE)))
            raise ContractError(
                f"the encoder gave {wrong} of {len(hashes)} vectors that are not finite or not of "
                "unit norm; nothing was written"
            )
        schema = embeddings_schema(vectors.shape[1])
        columns = {"content_hash": list(hashes), "embedding": vectors}
        return self._write(pl.DataFrame(columns, schema=schema))

    def _write(self, frame: pl.DataFrame) -> Path:
        frame = frame.unique("content_hash").sort("content_hash")
        digest = hashlib.sha256("".join(frame["content_hash"]).encode()).hexdigest()[:16]
        path = self.folder / f"part-{digest}.parquet"
        write_parquet(frame, path)
        return path

    def merge_small(self) -> None:
        """Merge small parts when there are many."""
        small = [(path, rows) for path in self.paths() if (rows := _rows(path)) < FULL_ROWS]
        if len(small) <= MOST_SMALL_PARTS:
            return
        group: list[Path] = []
        rows_of_group = 0
        for path, rows in reversed(small):
            group.append(path)
            rows_of_group += rows
            if rows_of_group >= FULL_ROWS:
                self._merge(group)
                group, rows_of_group = [], 0
        if len(group) > 1:
            self._merge(group)

    def _merge(self, group: list[Path]) -> None:
        merged = self._write(pl.concat([_read(path) for path in group]))
        for path in group:
            if path != merged:
                path.unlink(missing_ok=True)


def read_embeddings(store: Store, ref: DatasetRef, content_hashes: Sequence[str]) -> Vectors:
    """Vectors (n, dim) in the order of the hashes; zero rows where a hash is empty or unknown.

    Holds one part at a time beside the result.
    """
    vectors = np.zeros((len(content_hashes), int(ref.figures["dim"])), np.float32)
    wanted = pl.Series("content_hash", content_hashes, dtype=pl.String).to_frame()
    wanted = wanted.with_row_index("row").filter(pl.col("content_hash") != "")
    parts = EmbeddingParts(store.lake / "embeddings" / str(ref.figures["encoder"]))
    listed: list[Path] | None = ref.file_paths(store.lake)
    while True:
        try:
            for path in parts.paths() if listed is None else listed:
                _fill(vectors, wanted, _read(path))
        except FileNotFoundError:  # merged into another part since the ref was written, or now
            if not any(parts.folder.glob("part-*.parquet")):
                raise LakeError(f"{parts.folder}: its embeddings are gone; run again") from None
            listed = None
        else:
            return vectors


def _fill(vectors: Vectors, wanted: pl.DataFrame, part: pl.DataFrame) -> None:
    """Copy the vectors of a part to the rows that want them. wanted: row, content_hash."""
    held = part.select("content_hash").with_row_index("source")
    found = wanted.join(held, on="content_hash", how="inner")
    vectors[found["row"].to_numpy()] = part["embedding"].to_numpy()[found["source"].to_numpy()]


def _read(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=columns)
    except pl.exceptions.ComputeError as error:
        raise LakeError(f"{path}: damaged ({error}); remove it and run again") from None


def _rows(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())
