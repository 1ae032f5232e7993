"""What a command says: on standard output, on standard error, and by its exit code."""

from __future__ import annotations

from dataclasses import dataclass

from pwrank.store import write_json
from tests.library.tiny_world import World


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str

    def refuses(self, parts) -> None:
        """Exit code 2 and at most three lines that hold these parts, after what was begun."""
        assert self.code == 2, self
        begun, _, error = self.err.rpartition("pwrank: ")
        assert 1 <= len(error.strip().splitlines()) <= 3, self.err
        steps = (": started", ": timing ")
        assert all(any(step in line for step in steps) for line in begun.splitlines()), begun
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err


def other_version(world: World) -> None:
    write_json(world.store.open().control / "lake.json", {"format": 99})


def lake_is_a_file(world: World) -> None:
    world.store.lake.write_text("", encoding="utf-8")
