"""Readers that poll a lake while it is run, killed and run again, and judge every answer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Self

import polars as pl

from pwrank.publication import published_dates, rankings_path, read_current, read_rankings
from pwrank.store import Store

Lists = Mapping[date, Sequence[pl.DataFrame]]
"""Of each date, every version that a reader may meet: before the run, and after it."""


class Readers:
    """Polls with `read_rankings` and with a plain glob until the block ends.

    counts: answers by kind. wrong: what no reader may ever see, in words.
    """

    def __init__(self, world: Path, lists: Lists) -> None:
        self.lake = world / "lake"
        self.lists = lists
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(0.03):
            try:
                for day in published_dates(Store(self.lake)):
                    self._judge("read_rankings", day, read_rankings(self.lake, day).collect())
                    self._glob(day)
                if read_current(Store(self.lake)):
                    # Judged by the date that it bears: the pointer may have moved on meanwhile.
                    frame = read_rankings(self.lake).collect()
                    self._judge("current", frame["as_of_date"][0], frame)
            except BaseException as error:  # noqa: BLE001 - a panic of polars is no Exception
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _judge(self, kind: str, day: date, frame: pl.DataFrame) -> None:
        self.counts[kind] += 1
        if not any(frame.equals(version) for version in self.lists[day]):
            self.wrong.append(f"{kind} of {day}: {frame.height} rows of no version")

    def _glob(self, day: date) -> None:
        """A folder swapped between listing and opening may ask for another try, no more."""
        try:
            frame = pl.read_parquet(self.lake / rankings_path(day) / "*.parquet")
        except FileNotFoundError:
            self.counts["glob, to be tried again"] += 1
            return
        self._judge("glob", day, frame)
