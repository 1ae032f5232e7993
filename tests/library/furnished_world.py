"""A world in which one user stands wherever a user can, and what is left of them when forgotten."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import timedelta
from pathlib import Path

import polars as pl

from pwrank.forget import forget, person_of
from pwrank.publication import (
    publication_path,
    read_rankings,
)
from pwrank.report.night import report_path, write_night_report
from pwrank.stage_log import StageRecord, write_stage_record
from pwrank.store import read_json, write_json
from tests.library.tiny_world import AS_OF, NOW, World, stage_night

SALT = "5a17" * 16
LATER = NOW + timedelta(days=1)
NEXT = AS_OF + timedelta(days=1)
USER = "zoe@example"
"""Has rows, is in the users table, stands in rejects, samples and on a page."""


def copy(source: World, folder: Path) -> World:
    """With its hard links, unlike shutil."""
    subprocess.run(["cp", "-a", str(source.folder), str(folder)], check=True)
    return World(folder, source.model, source.settings)


def furnish(world: World, user: str) -> None:
    """A world in which one user stands wherever a user can."""
    rows = [(user, f"{n:03d}", f"2024-03-0{1 + n % 6}T10:00:00Z", 4, "view") for n in range(7)]
    dirty = [(user, "001", "soon", 4, "view"), (user, "", "2024-03-02", 4, "view")]
    world.write_drop("2024-03-01-more.csv", [*rows, *dirty, (user, "001"), ("u00", "1")])
    users = world.folder / "users.csv"
    world.write_drop("../users.csv", [(user,), ("u01",), ("only-listed",)], ("user_id",))
    world.settings |= {"source": {"users": users.name}, "clean": {"max_bad_share": 0.9}}


def nights(world: World, *days) -> None:
    for day in days:
        night = stage_night(world.run(as_of=day, now=NOW))
        done = night.publish()
        write_night_report(
            night.run,
            night.refs,
            staged=night.staged,
            metrics=night.evaluate(),
            gates=done.gates,
            refusal=None,
        )


def show_off(world: World, user) -> None:
    """Put the user into the samples of gates and on the page of a night."""
    path = publication_path(world.store, AS_OF)
    told = read_json(path)
    told["gates"][1]["sample"] = str({"user_id": user, "rank": 1})
    write_json(path, told)
    gates = {"gates": told["gates"]}
    write_stage_record(world.store, AS_OF, StageRecord("publish", False, 1, 1.0, 1, gates))
    page = report_path(world.store, AS_OF)
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("User <bdi>", f"User <bdi>{user}</bdi><bdi>"), encoding="utf-8")
    refused = report_path(world.store, AS_OF - timedelta(days=9))
    refused.parent.mkdir(parents=True)
    refused.write_text(f"e.g. {{'user_id': {user!r}}}", encoding="utf-8")


def forgotten(world, user=USER, *, now=LATER, pairs=()):
    person = person_of(world.store, user, SALT)
    return forget(world.store, world.configure(), person, now=now, pairs=pairs)


def lists_of_others(world, as_of, user=USER) -> pl.DataFrame:
    lists = read_rankings(world.store.lake, as_of).filter(pl.col("user_id") != user)
    return lists.sort("user_id", "rank").collect()


def bytes_naming(world, user=USER) -> list[Path]:
    """Files with the id in them, Parquet unpacked."""
    found = []
    for path in (path for path in world.store.lake.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = str(pl.read_parquet(path).to_dicts()).encode()
        if str(user).encode() in content:
            found.append(path)
    return found


def tree(world) -> dict[str, str]:
    """Every file by content, but for what tells when and how often."""
    told = {}
    for path in sorted(path for path in world.store.lake.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.parent.name == "published":
            content = json.dumps(read_json(path) | {"signed_again_at": None}).encode()
        content = content.replace(str(world.store.lake).encode(), b"LAKE")  # a page names it
        if path.name not in ("forgotten.json", "lake.json") and path.suffix != ".lock":
            told[str(path.relative_to(world.store.lake))] = hashlib.sha256(content).hexdigest()
    return told
