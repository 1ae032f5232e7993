"""Inner products of users' vectors with the rows of a table, a few rows for each user: compiled."""

from __future__ import annotations

import numpy as np

from pwrank.ranker.compiled import compiled, prefetch
from pwrank.ranker.history import FloatArray, IntArray

ZERO = np.float32(0.0)
TILE_BYTES, FEWEST = 524_288, 12
"""Of a table that stay in the cache while all users are asked about them; in so many rows that a
user should want so many of them, in the mean."""

LINE = 16
"""Numbers of a line of the cache."""


@compiled
def add_inner_products(
    queries: FloatArray, table: FloatArray, rows: IntArray, columns: IntArray, out: FloatArray
) -> None:
    """out[u, columns[j], i] = queries[u, j] . table[rows[u, i]]; queries (b, q, d), table (n, d).

    rows (b, c), -1 = none, for which anything finite may come out. Rows may stand in any order, and
    the work is done soonest if they ascend: the table is gone through tile by tile, each for all
    users, so that a row comes from memory once and not once for each user who is asked about it.
    """
    last = np.iinfo(np.int64).max
    tile = max(TILE_BYTES // (4 * table.shape[1]), FEWEST * len(table) // max(rows.shape[1], 1))
    done = np.zeros(len(rows), np.int64)
    for start in range(0, len(table), tile):
        end, next_end = start + tile, start + 2 * tile
        for user in range(len(rows)):
            begin = done[user]
            stop = _up_to(rows[user], begin, end if end < len(table) else last)
            for place in range(stop, _up_to(rows[user], stop, next_end)):
                _fetch(table[max(rows[user, place], 0)])
            _multiply(
                queries[user], table, rows[user, begin:stop], columns, out[user, :, begin:stop]
            )
            done[user] = stop


@compiled
def _up_to(rows: IntArray, begin: int, end: int) -> int:
    """The first place from `begin` on whose row is not below `end`."""
    place = begin
    while place < len(rows) and rows[place] < end:
        place += 1
    return place


@compiled
def _fetch(row: FloatArray) -> None:
    """Into the cache, without waiting for it."""
    for k in range(0, len(row), LINE):
        prefetch(row, k)


@compiled
def _multiply(
    queries: FloatArray, table: FloatArray, rows: IntArray, columns: IntArray, out: FloatArray
) -> None:
    """One user's products: four rows and two queries at once, so that each number serves often."""
    width, last, final = table.shape[1], len(rows) - 1, len(columns) - 1
    for first in range(0, last + 1, 4):
        second, third, fourth = min(first + 1, last), min(first + 2, last), min(first + 3, last)
        one, two = table[max(rows[first], 0)], table[max(rows[second], 0)]
        three, four = table[max(rows[third], 0)], table[max(rows[fourth], 0)]
        for number in range(0, final + 1, 2):
            further = min(number + 1, final)
            ask, also = queries[number], queries[further]
            a, b, c, d = ZERO, ZERO, ZERO, ZERO
            e, f, g, h = ZERO, ZERO, ZERO, ZERO
            for k in range(width):
                a += ask[k] * one[k]
                b += ask[k] * two[k]
                c += ask[k] * three[k]
                d += ask[k] * four[k]
                e += also[k] * one[k]
                f += also[k] * two[k]
                g += also[k] * three[k]
                h += also[k] * four[k]
            into, to = out[columns[number]], out[columns[further]]
            into[first], into[second], into[third], into[fourth] = a, b, c, d
            to[first], to[second], to[third], to[fourth] = e, f, g, h
