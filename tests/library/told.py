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
        """Exit code 2 and at most three lines that hold these parts."""
        assert self.code == 2, self
        assert 1 <= len(self.err.strip().splitlines()) <= 3, self.err
        assert self.err.startswith("pwrank: ")
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err


def other_version(world: World) -> None:
    write_json(world.store.open().control / "lake.json", {"format": 99})


def lake_is_a_file(world: World) -> None:
    world.store.lake.write_text("", encoding="utf-8")
