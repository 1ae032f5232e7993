"""One trial: a night that meets a fault while it is read, then the same night again, undisturbed.

What must be so afterwards stands in `Trial._compare`: the published files are those of a night that
nothing disturbed, the lake holds the same files and none besides, and nothing was done twice.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from pwrank.publication import published_dates, read_current, read_rankings
from pwrank.stage_log import read_stage_records
from pwrank.store import Store, file_sha256
from tests.faults.child import Night
from tests.faults.injection import Fault, Operation, read_journal
from tests.faults.readers import Lists, Readers
from tests.library.tiny_world import AS_OF, FIRST_DAY, make_world, some_interactions, some_items

BEFORE = AS_OF - timedelta(days=1)
"""Published in every lake that a trial begins with."""

Pointer = tuple[str, str] | None

FINISHED = ("staged/as_of=*/**/part-*.parquet", "embeddings/**/part-*.parquet")
"""What is never done again once it is in the lake."""


def make_start(folder: Path, model: Path) -> Path:
    """A world with one night published, and what came since: a drop, late rows, items."""
    world = make_world(folder, model, days=6)
    world.settings = {
        "train": {"every_days": 1},
        "score": {"shards": 5},
        "runtime": {"retries": 2, "retry_seconds": 0.01},
    }
    world.configure()
    assert Night(folder, BEFORE).run() == 0, (folder / "told.txt").read_text()
    world.write_drop("2024-03-07.csv", some_interactions(FIRST_DAY + timedelta(days=6)))
    world.write_drop("late.csv", [("u03", "004", "2024-03-03T10:00:00Z", 4, "view")])
    new = [item | {"item_id": f"1{item['item_id']}"} for item in some_items(12)]
    texts = [item | {"text": f"{item['text']} word{number}"} for number, item in enumerate(new)]
    world.write_items([*some_items(), *texts])
    return folder


def copy_world(start: Path, to: Path) -> Path:
    """A copy in which hard links are hard links."""
    subprocess.run(["cp", "--archive", str(start), str(to)], check=True)
    return to


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def current(lake: Path) -> Pointer:
    """Date and version of the current lists."""
    pointer = read_current(Store(lake))
    return (pointer["as_of"], pointer["version"]) if pointer else None


def names(lake: Path) -> Counter[str]:
    """Every file of a lake; folders that are named by the time of a landing by their source."""
    found: Counter[str] = Counter()
    sources = {
        path.stem: json.loads(path.read_text())["source_file"]
        for path in lake.glob("control/drops/*/*.json")
    }
    for path in lake.rglob("*"):
        if path.is_file():
            parts = [sources.get(part.removesuffix(".json"), part) for part in path.parts]
            name = "/".join(parts[len(lake.parts) :])
            # Named by a hash of the landing that they tell of: as many as there are drops.
            found[re.sub(r"(control/profiles/\w+)/\w+", r"\1/…", name)] += 1
    return found


def rankings(lake: Path) -> dict[date, pl.DataFrame]:
    """The lists of every published date."""
    return {day: read_rankings(lake, day).collect() for day in published_dates(Store(lake))}


@dataclass(frozen=True)
class Scene:
    """What is run, on which start, and what comes of it when nothing disturbs it."""

    start: Path
    night: Night
    lists: Lists
    published_before: dict[str, str]
    published: dict[str, str]
    current_before: Pointer
    current: Pointer
    names: Counter[str]
    operations: list[Operation]
    seconds: float
    texts: int
    """Vectors in the lake afterwards, one a distinct text."""

    @staticmethod
    def play(start: Path, night: Night) -> Scene:
        """Run a night once, undisturbed, on a copy of `start` in its world; remember everything."""
        world = copy_world(start, night.world)
        before = rankings(world / "lake")
        began = time.monotonic()
        code = night.run()
        assert code == 0, night.told.read_text()
        after = rankings(world / "lake")
        return Scene(
            start=start,
            night=night,
            lists={
                day: [lists[day] for lists in (before, after) if day in lists]
                for day in sorted(before | after)
            },
            published_before=hashes(start / "lake" / "rankings"),
            published=hashes(world / "lake" / "rankings"),
            current_before=current(start / "lake"),
            current=current(world / "lake"),
            names=names(world / "lake"),
            operations=read_journal(night.journal),
            seconds=time.monotonic() - began,
            texts=_texts(world / "lake"),
        )


@dataclass
class Trial:
    """A world, what strikes it, and what became of it."""

    scene: Scene
    world: Path
    fault: Fault | None = None
    stage: str = "not reached"
    code: int = 0
    told: str = ""
    """What the disturbed night said."""
    reads: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unpublished: bool = True
    """Whether the disturbed night had left the published files as they were."""
    bytes_compared: int = 0
    begun: Sequence[date] = ()
    """Dates that the second run looks at."""
    kept: int = 0
    """Finished files that were there after the fault and were not made again."""

    @property
    def lake(self) -> Path:
        return self.world / "lake"

    @property
    def night(self) -> Night:
        """The scene's night in this world, undisturbed."""
        return replace(self.scene.night, world=self.world)

    def run(
        self, disturb: Callable[[Trial], int], mend: Callable[[Trial], None] | None = None
    ) -> None:
        """Disturb the night, mend what must be mended, run it again; readers all the while."""
        with Readers(self.world, self.scene.lists) as readers:
            self.code = disturb(self)
            if left := orphans(self.world):
                self.wrong.append(f"live on: {left}")
            done, encoded = _finished(self.lake), _texts(self.lake)
            self.unpublished = self._unpublished()
            there = published_dates(Store(self.lake)) if self.night.missing_only else []
            self.begun = [day for day in self.night.days if day not in there]
            if mend:
                mend(self)
            again = self.night.run()
        self.reads = readers.counts
        self.wrong += readers.wrong
        if again:
            self.wrong.append(f"again: exit code {again}\n{self.night.told.read_text()}")
        else:
            self._compare(done, encoded)

    def meet_fault(self) -> int:
        """The night with its fault; its exit code."""
        night = replace(self.night, fault=self.fault)
        return self._told(night, night.run())

    def meet_signal(self, after: float, number: int) -> int:
        """The night with a signal after some seconds; its exit code."""
        return self._told(self.night, self.night.run(signalled=(after, number)))

    def _told(self, night: Night, code: int) -> int:
        operations = read_journal(night.journal)
        self.stage = operations[-1].stage if operations else "start"
        if self.fault and self.fault.at < len(operations):
            self.stage = operations[self.fault.at].stage
        self.told = night.told.read_text(errors="replace")
        return code

    @property
    def refused_clearly(self) -> bool:
        """Exit code 1 or 2 and a message without traceback, and nothing was published."""
        message = "pwrank: " in self.told and "Traceback" not in self.told
        return self.code in {1, 2} and message and self.unpublished

    def _unpublished(self) -> bool:
        """Whether globs find what they found before, and the pointer names the last good night.

        An error in the last stage may come when all is published.
        """
        found, pointer = hashes(self.lake / "rankings"), current(self.lake)
        if self.stage == "publish" and found == self.scene.published:
            return pointer in {self.scene.current_before, self.scene.current}
        return found == self.scene.published_before and pointer == self.scene.current_before

    def _compare(self, done: dict[Path, tuple[int, int]], encoded: int) -> None:
        """Compare with the undisturbed night. done: files finished when the fault had struck."""
        published = hashes(self.lake / "rankings")
        if published != self.scene.published:
            self.wrong.append(f"published files differ: {_differing(published, self.scene)}")
        folder = self.lake / "rankings"
        self.bytes_compared = sum((folder / name).stat().st_size for name in published)
        if (pointer := current(self.lake)) != self.scene.current:
            self.wrong.append(f"current is {pointer}, not {self.scene.current}")
        if (found := names(self.lake)) != self.scene.names:
            self.wrong.append(f"files of the lake: {_delta(found, self.scene.names)}")
        now = _finished(self.lake)
        redone = [str(path) for path, stamp in done.items() if now.get(path) != stamp]
        if redone:
            self.wrong.append(f"done twice: {redone}")
        self.kept = len(done)
        again = sum(_encoded(self.lake, day) for day in self.begun)
        vectors = _texts(self.lake)
        if not encoded + again == vectors == self.scene.texts:
            self.wrong.append(f"texts encoded twice: {encoded} + {again} gave {vectors} vectors")


def orphans(world: Path) -> list[str]:
    """Processes that still work in a world."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.joinpath("cwd").readlink() == world:
                found.append(process.name)
    return found


def _finished(lake: Path) -> dict[Path, tuple[int, int]]:
    """Finished files with what changes when one is written again."""
    found = {}
    for pattern in FINISHED:
        for path in lake.glob(pattern):
            status = path.stat()
            found[path] = (status.st_ino, status.st_mtime_ns)
    return found


def _texts(lake: Path) -> int:
    """Vectors in the lake; more than distinct texts if any were encoded twice."""
    parts = list(lake.glob("embeddings/**/part-*.parquet"))
    return int(pl.scan_parquet(parts).select(pl.len()).collect().item()) if parts else 0


def _encoded(lake: Path, as_of: date) -> int:
    """Texts that the last run of a date encoded."""
    (record,) = [r for r in read_stage_records(Store(lake), as_of) if r.stage == "embed"]
    return 0 if record.reused else int(record.figures["texts_encoded"])


def _differing(published: dict[str, str], scene: Scene) -> list[str]:
    every = sorted(published.keys() | scene.published.keys())
    return [name for name in every if published.get(name) != scene.published.get(name)]


def _delta(found: Counter[str], wanted: Counter[str]) -> str:
    return f"too many {sorted(found - wanted)}, missing {sorted(wanted - found)}"
