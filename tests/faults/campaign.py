"""The large form: two hundred kills and what else may strike a night, with a table and a verdict.

`make faults`, or `python -m tests.faults.campaign --kills 200 --seed 1`. Most nights are driven by
their stages alone, every tenth by `pwrank run` through Prefect, every fortieth by the command as a
process of its own with its own server, whose end is watched too. Then, a tenth as many of each:
SIGTERM; disks that are full (small tmpfs) or read-only; an I/O error that passes; one that stays;
nights by the command, since it is what tries again. Exit code 0: all survived.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults.child import BLOCK_TEXTS, Night
from tests.faults.disks import may_mount, remount, small_disk, used
from tests.faults.injection import Fault, Operation
from tests.faults.trials import BEFORE, Scene, Trial, copy_world, make_start, orphans
from tests.library.tiny_models import tiny_model
from tests.library.tiny_world import AS_OF

STAGES = ("ingest", "embed", "train", "index", "score", "evaluate", "publish")
ROOT = Path(__file__).parents[2]
GONE_SECONDS = 20
"""How long after a kill its server may live and its pipe stay open."""
ROOMY = 64 << 20
WRITTEN = 300_000
"""Bytes that a night writes, or somewhat less."""
STAYS = (errno.EIO, errno.ENOSPC, errno.EROFS)
COMMAND = f"""
import sys
from flows.environment import prepare_environment
prepare_environment()
import pwrank.embed
from flows.cli import main
pwrank.embed.BLOCK_TEXTS = {BLOCK_TEXTS}
sys.exit(main())
"""


@dataclass
class Tally:
    """What was counted, by kind of fault and stage."""

    struck: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reads: Counter[str] = field(default_factory=Counter)
    bytes_compared: int = 0
    kept: int = 0
    ends: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str, trial: Trial, *complaints: str) -> None:
        self.struck[kind][trial.stage] += 1
        self.ends[kind][f"exit code {trial.code}"] += 1
        self.reads.update(trial.reads)
        self.bytes_compared += trial.bytes_compared
        self.kept += trial.kept
        for complaint in (*trial.wrong, *filter(None, complaints)):
            self.wrong.append(f"{kind}, {trial.stage}, {trial.fault}: {complaint}")
            print(self.wrong[-1], flush=True)

    def table(self) -> str:
        stages = [*STAGES, "start", "whole command", "not reached"]
        columns = [stage for stage in stages if any(c[stage] for c in self.struck.values())]
        lines = [f"{'struck in':<22}" + "".join(f"{stage:>14}" for stage in (*columns, "all"))]
        for kind, count in self.struck.items():
            row = [*(count[stage] for stage in columns), count.total()]
            ends = ", ".join(f"{number} x {end}" for end, number in sorted(self.ends[kind].items()))
            lines.append(f"{kind:<22}" + "".join(f"{n:>14}" for n in row) + f"  {ends}")
        reads = ", ".join(f"{count:,} by {kind}" for kind, count in sorted(self.reads.items()))
        lines += [
            "",
            f"reads checked: {reads}",
            f"bytes of published files compared: {self.bytes_compared:,}",
            f"finished parts found after the fault and kept: {self.kept:,}",
            f"wrong: {len(self.wrong)}",
        ]
        return "\n".join(lines)


@dataclass
class Campaign:
    """Scenes by their driver, and a folder for one world at a time."""

    folder: Path
    seed: int
    stages: list[Scene]
    command: list[Scene]
    tally: Tally = field(default_factory=Tally)
    number: int = 0

    def trial(self, scenes: list[Scene], fault: Fault | None = None, draw: int = 0) -> Trial:
        scene = scenes[draw % len(scenes)]
        shutil.rmtree(self.folder / "world", ignore_errors=True)
        return Trial(scene, copy_world(scene.start, self.folder / "world"), fault)

    def strike(
        self,
        kind: str,
        trial: Trial,
        disturb: Callable[[Trial], int],
        judge: Callable[[Trial], str],
        mend: Callable[[Trial], None] | None = None,
    ) -> None:
        """Run a trial, and judge how the disturbed night ended."""
        self.number += 1
        try:
            trial.run(disturb, mend)
            self.tally.add(kind, trial, judge(trial))
        except Exception as error:  # noqa: BLE001 - one trial that breaks stops no other
            self.tally.add(kind, trial, f"{type(error).__name__}: {error}")
        if sys.stderr.isatty() or self.number % 10 == 0:
            print(f"{self.number} struck, {len(self.tally.wrong)} wrong", file=sys.stderr)

    def kills(self, count: int, number: int, kind: str) -> None:
        """Signals, spread over the stages: before an operation, in mid-write, and by the clock."""
        for draw in range(count):
            rng = random.Random(f"{self.seed} {kind} {draw}")  # noqa: S311 - not for secrets
            scenes = self.command if draw % 10 == 0 or number == signal.SIGTERM else self.stages
            if draw % 40 == 39 and number == signal.SIGKILL:
                self._kill_command(rng)
            elif draw % 5 == 4:
                self._by_clock(scenes, rng, number, kind)
            else:
                self._by_operation(scenes, rng, draw, number, kind)

    def _by_operation(
        self, scenes: list[Scene], rng: random.Random, draw: int, number: int, kind: str
    ) -> None:
        trial_scene = rng.randrange(len(scenes))
        cut = number == signal.SIGKILL and draw % 2 == 1
        stage = STAGES[draw % len(STAGES)]
        place = _place(scenes[trial_scene], rng, stage, {"fsync"} if cut else None)
        how = "cut" if cut else "kill" if number == signal.SIGKILL else "stop"
        trial = self.trial(scenes, Fault(place.number, how), trial_scene)
        self.strike(kind, trial, Trial.meet_fault, _ended_by(number))

    def _by_clock(self, scenes: list[Scene], rng: random.Random, number: int, kind: str) -> None:
        trial = self.trial(scenes, draw=rng.randrange(len(scenes)))
        after = rng.uniform(0.05, 0.9) * trial.scene.seconds
        self.strike(kind, trial, lambda t: t.meet_signal(after, number), _ended_by(number))

    def _kill_command(self, rng: random.Random) -> None:
        trial = self.trial(self.command)
        trial.stage = "whole command"
        after = rng.uniform(1, 10) + trial.scene.seconds * rng.random()
        self.strike("SIGKILL", trial, lambda t: _kill_process(t, after), _ended_by(signal.SIGKILL))

    def errors(self, count: int) -> None:
        """An error that passes, and errors that stay from some operation of a stage on.

        Nights by the command, since it is what tries again. These are injected into what Python
        does; what libraries write by themselves meets the disks below.
        """
        for draw in range(count):
            rng = random.Random(f"{self.seed} errors {draw}")  # noqa: S311 - not for secrets
            place = _place(self.command[0], rng, STAGES[draw % len(STAGES)], None)
            once = self.trial(self.command, Fault(place.number, str(errno.EIO)))
            self.strike("I/O error once", once, Trial.meet_fault, _healed)
            number = STAYS[draw % len(STAYS)]
            stays = self.trial(self.command, Fault(place.number, str(number), always=True))
            kind = f"{errno.errorcode[number]} stays"
            self.strike(kind, stays, Trial.meet_fault, _refused)

    def disks(self, count: int) -> None:
        """Memory disks with room for a part of what the night writes, and a read-only one."""
        if not may_mount(self.folder / "encoder"):
            print("no right to mount: disks that are full or read-only were injected only")
            return
        for draw in range(count):
            trial = self.trial(self.command)
            with small_disk(trial.lake, ROOMY):
                room = used(trial.lake) + draw * WRITTEN // count
                remount(trial.lake, f"size={room}")
                roomy = f"size={ROOMY}"
                self._on_disk("disk full", trial, lambda t, told=roomy: remount(t.lake, told))
        for _ in range(max(1, count // 10)):
            trial = self.trial(self.command)
            with small_disk(trial.lake, ROOMY):
                remount(trial.lake, "ro")
                self._on_disk("disk read-only", trial, lambda t: remount(t.lake, "rw"))

    def _on_disk(self, kind: str, trial: Trial, mend: Callable[[Trial], None]) -> None:
        self.strike(kind, trial, Trial.meet_fault, _refused, mend)


def _place(scene: Scene, rng: random.Random, stage: str, events: set[str] | None) -> Operation:
    """Some operation of a stage that changes the lake."""
    places = [o for o in scene.operations if o.stage == stage and o.writes]
    return rng.choice([o for o in places if events is None or o.event in events])


def _ended_by(number: int) -> Callable[[Trial], str]:
    """A night ends by the signal, unless it was over before."""
    codes = {0, -number, 128 + number}
    return lambda trial: "" if trial.code in codes else f"exit code {trial.code}: {trial.told}"


def _healed(trial: Trial) -> str:
    return "" if trial.code == 0 else f"not healed, exit code {trial.code}: {trial.told}"


def _refused(trial: Trial) -> str:
    return "" if trial.refused_clearly else f"exit code {trial.code}: {trial.told}"


def _kill_process(trial: Trial, after: float) -> int:
    """`pwrank run` with a server of its own, killed; its pipe must end and its server go."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-c", COMMAND, *trial.night.arguments]
    process = subprocess.Popen(
        command,
        cwd=trial.world,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    process.kill()
    trial.told, _ = process.communicate(timeout=GONE_SECONDS)
    deadline = time.monotonic() + GONE_SECONDS
    while orphans(trial.world) and time.monotonic() < deadline:
        time.sleep(0.1)
    return process.returncode


@contextlib.contextmanager
def _prepared(folder: Path, seed: int) -> Iterator[Campaign]:
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=300):
        start = make_start(folder / "start", tiny_model("bert", folder / "encoder"))
        nights = [Night(folder / "new", AS_OF), Night(folder / "late", BEFORE, known_now=True)]
        stages = [Scene.play(start, night) for night in nights]
        api = PREFECT_API_URL.value()
        by_command = [
            Scene.play(start, replace(night, api=api, world=folder / f"command-{night.world.name}"))
            for night in nights
        ]
        yield Campaign(folder, seed, stages, by_command)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pwrank-faults-") as folder,
        _prepared(Path(folder), options.seed) as campaign,
    ):
        interrupted = True
        with contextlib.suppress(KeyboardInterrupt):  # told how far it came
            campaign.kills(options.kills, signal.SIGKILL, "SIGKILL")
            campaign.kills(options.kills // 10, signal.SIGTERM, "SIGTERM")
            campaign.disks(max(1, options.kills // 10))
            campaign.errors(options.kills // 10)
            interrupted = False
        print(campaign.tally.table())
        wrong = bool(campaign.tally.wrong)
        print("verdict:", "something was wrong" if wrong else "all survived", end="")
        print(", interrupted before the end" if interrupted else "")
        return 1 if wrong or interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
