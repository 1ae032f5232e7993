"""Source kind `movielens`: every public layout, told apart by what stands in the folder.

| layout | ratings | movies | text |
|---|---|---|---|
| ml-100k | u.data, tabs | u.item, `|` and 19 genre flags | Latin-1 |
| ml-1m, ml-10m | ratings.dat, `::` | movies.dat, `::` | Latin-1, UTF-8 |
| movietweetings | ratings.dat, `::` | movies.dat, `::`, ids with leading zeros | UTF-8 |
| latest-small, 20m to 32m | ratings.csv | movies.csv | UTF-8 |

The columns come out as `user_id item_id rating timestamp event` and `item_id title category`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from pwrank.config import ColumnsConfig, HeaderConfig, SourceConfig
from pwrank.datasets import IdType, IdTypes, whole_numbers
from pwrank.errors import ConfigError, SourceError
from pwrank.sources.delimited import read_delimited
from pwrank.sources.files import (
    RawBatch,
    SourceFile,
    did_you_mean,
    list_table_files,
    open_text,
    readable,
)
from pwrank.sources.lines import Lines, LiteralRecords, collect_batches

LAYOUTS = (("u.data", "u.item"), ("ratings.dat", "movies.dat"), ("ratings.csv", "movies.csv"))
RATING_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]
MOVIE_COLUMNS = ["item_id", "title", "category"]
NO_GENRES = "(no genres listed)"
GENRES_100K = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
_U_ITEM_FIELDS = 5
"""movie id, title, release date, video release date and URL, before the genre flags."""
_PEEKED_ROWS = 100_000
_CSV_NAMES = {
    "userId": "user_id",
    "movieId": "item_id",
    "genres": "category",
}


def list_files(source: SourceConfig) -> list[SourceFile]:
    """The ratings and the movies. Raises SourceError naming what was looked for."""
    if source.header != HeaderConfig():
        raise ConfigError("[source.header] is for kind 'tables'; movielens files need none")
    folder = source.folder
    if folder is None or not folder.is_dir():
        raise SourceError(f"movielens: {folder}: no such folder; set `folder` under [source]")
    for ratings, movies in LAYOUTS:
        if (folder / ratings).is_file() and (folder / movies).is_file():
            interactions = list_table_files("interactions", folder / ratings)
            return interactions + list_table_files("items", folder / movies)
    with readable(folder):
        present = {entry.name for entry in folder.iterdir() if entry.is_file()}
    half = next((pair for pair in LAYOUTS if present & set(pair)), None)
    if half:
        (missing,) = set(half) - present
        raise SourceError(
            f"movielens: {folder}: no {missing} beside {(set(half) - {missing}).pop()}"
        )
    wanted = ", ".join(" with ".join(pair) for pair in LAYOUTS)
    inner = next((path.parent for path in sorted(folder.glob("*/*")) if path.name in _ANY), None)
    hint = f"; did you mean {str(inner)!r}?" if inner else did_you_mean("ratings.csv", present)
    raise SourceError(f"movielens: {folder}: none of {wanted}{hint}")


_ANY = {name for pair in LAYOUTS for name in pair}


def read_batches(
    file: SourceFile,
    source: SourceConfig,  # noqa: ARG001 - the layout tells all, other kinds need it
    *,
    batch_rows: int,
) -> Iterator[RawBatch]:
    """Stream the ratings or the movies of any layout."""
    encoding = _encoding_of(file.path) if file.table == "items" else "utf-8"
    if file.path.suffix == ".csv":
        batches = _read_csv(file, encoding, batch_rows)
    elif file.path.name == "u.item":
        batches = _read_u_item(file, encoding, batch_rows)
    else:
        batches = _read_dat(file, encoding, batch_rows)
    return (RawBatch(_finished(batch.rows, file), batch.rejects) for batch in batches)


def id_types(files: Sequence[SourceFile], source: SourceConfig) -> IdTypes:
    """int64 where the ids are integers in canonical form (no leading zeros) in both files.

    All movies and the first 100,000 ratings are looked at; what comes later is checked in parsing.
    """
    canonical = {"user_id": True, "item_id": True}
    for file in files:
        for batch in read_batches(file, source, batch_rows=_PEEKED_ROWS):
            for name in set(canonical) & set(batch.rows.columns):
                ids = batch.rows[name].str.strip_chars()
                ids = ids.filter(ids != "")
                canonical[name] &= not whole_numbers(ids).has_nulls()
            if file.table == "interactions":
                break
    types = {True: IdType.INT64, False: IdType.STRING}
    return IdTypes(user=types[canonical["user_id"]], item=types[canonical["item_id"]])


def _finished(rows: pl.DataFrame, file: SourceFile) -> pl.DataFrame:
    if file.table == "interactions":
        return rows.with_columns(event=pl.lit("rating"))
    return rows.with_columns(category=pl.col("category").replace(NO_GENRES, ""))


def _read_csv(file: SourceFile, encoding: str, batch_rows: int) -> Iterator[RawBatch]:
    spelled = {ours: csv for csv, ours in _CSV_NAMES.items()}
    if file.table == "interactions":
        del spelled["category"]
    else:
        del spelled["user_id"]
    columns = ColumnsConfig(**spelled)
    plain = SourceConfig(kind="tables", separator=",", encoding=encoding, columns=columns)
    for batch in read_delimited(file, plain, batch_rows=batch_rows):
        yield RawBatch(batch.rows.rename(_CSV_NAMES, strict=False), batch.rejects)


def _read_dat(file: SourceFile, encoding: str, batch_rows: int) -> Iterator[RawBatch]:
    """Lines without a header or quotes; a movie's title may hold the separator."""
    columns = RATING_COLUMNS if file.table == "interactions" else MOVIE_COLUMNS
    with readable(file.path), open_text(file.path, encoding) as text:
        lines = Lines(text)
        first = next(lines, "")
        if not first.strip():
            raise SourceError(f"{file.path}: empty file")
        lines.give_back(keep=0)
        separator = "::" if "::" in first else "\t"

        def arranged(fields: list[str]) -> list[str]:
            extra = len(fields) > len(columns) and file.table == "items"
            return [fields[0], separator.join(fields[1:-1]), fields[-1]] if extra else fields

        records = LiteralRecords(lines, separator, arranged)
        yield from collect_batches(records, lines, columns, batch_rows=batch_rows)


def _read_u_item(file: SourceFile, encoding: str, batch_rows: int) -> Iterator[RawBatch]:
    genres = _genre_names(file.path.parent / "u.genre")
    with readable(file.path), open_text(file.path, encoding) as text:
        lines = Lines(text)
        records = LiteralRecords(lines, "|", lambda fields: _movie(fields, genres))
        yield from collect_batches(records, lines, MOVIE_COLUMNS, batch_rows=batch_rows)


def _movie(fields: list[str], genres: list[str]) -> list[str]:
    """Id, title and genres of one u.item line; a line of another width stays as it is."""
    if len(fields) != _U_ITEM_FIELDS + len(genres):
        return fields
    flags = fields[_U_ITEM_FIELDS:]
    named = [name for name, flag in zip(genres, flags, strict=True) if flag == "1"]
    return [fields[0], fields[1], "|".join(name for name in named if name != "unknown")]


def _genre_names(path: Path) -> list[str]:
    """Names from u.genre (`name|number` lines), or the published ones where it is missing."""
    if not path.is_file():
        return GENRES_100K
    with readable(path), open_text(path, "latin-1") as text:
        pairs = [line.strip().rpartition("|") for line in text if "|" in line]
    numbered = sorted((int(number), name) for name, _, number in pairs if number.isdecimal())
    return [name for _, name in numbered] or GENRES_100K


def _encoding_of(path: Path) -> str:
    """UTF-8 if the whole file is, Latin-1 otherwise."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with readable(path), path.open("rb") as binary:
        try:
            while block := binary.read(2**20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"
