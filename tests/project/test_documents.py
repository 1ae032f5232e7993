"""What the README says is so."""

import re
import tomllib
from pathlib import Path

from flows.cli import COMMANDS
from pwrank.datasets import ALL_DATASETS, RANKINGS
from pwrank.lists.sources_of_ranks import ALL_SOURCES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
UNLISTED = {".git", ".venv", "__pycache__", ".gitignore", "LICENSE", "pwrank-demo", "build", "dist"}


def _tree_paths() -> set[str]:
    """Paths of the commented tree: indentation gives the folder."""
    block = README.split("## Where things are")[1].split("```")[1]
    paths, folders = set(), []
    for line in block.strip("\n").splitlines():
        names = re.match(r"( *)((?:[\w./-]+(?: +|$))+)", line)
        if not names:
            continue
        depth = len(names[1]) // 2
        entries = names[2].split("  ")[0].split()
        folders = folders[:depth]
        for entry in entries:
            paths.add("/".join([*folders, entry.rstrip("/")]))
        if entries[0].endswith("/"):
            folders.append(entries[0].rstrip("/"))
    return paths


def _tracked(folder: Path, depth: int) -> set[str]:
    found = set()
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name != ".ci"
        if path.name in UNLISTED or hidden or path.suffix in {".egg-info", ".typed"}:
            continue
        found.add(str(path.relative_to(ROOT)))
        if path.is_dir() and depth > 1:
            found |= _tracked(path, depth - 1)
    return found


def test_every_path_in_the_commented_tree_exists():
    missing = {path for path in _tree_paths() if not (ROOT / path).exists()}
    assert not missing


def test_everything_at_the_top_and_in_the_library_stands_in_the_tree():
    there = _tracked(ROOT, 1) | {
        path
        for folder, depth in (("flows", 1), ("tasks", 1), ("pwrank", 2), ("deploy", 1))
        for path in _tracked(ROOT / folder, depth)
    }
    names = {path for path in there if not path.endswith("__init__.py")}
    assert not names - _tree_paths()


def test_the_readme_lists_exactly_the_commands_there_are():
    listed = set(re.findall(r"^\| `pwrank (\w+)` \|", README, flags=re.MULTILINE))
    assert listed == set(COMMANDS)


def test_the_dataset_table_is_the_contracts():
    table = README.split("## Datasets in the lake")[1].split("##")[0]
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \|", table, flags=re.MULTILINE)
    listed = {name: key.strip() for name, key in rows if name != "dataset"}
    assert listed == {d.name: ", ".join(d.key) or "–" for d in ALL_DATASETS}


def test_the_rankings_table_is_the_contract():
    table = README.split("## Read the rankings")[1].split("##")[0]
    listed = re.findall(r"^\| (\w+) \|", table, flags=re.MULTILINE)
    assert listed[1:] == list(RANKINGS.columns)


def test_every_source_of_a_rank_is_explained():
    assert all(f"`{source}`" in README for source in ALL_SOURCES)


def test_make_knows_the_two_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make demo" in README
    assert "make test" in README
    assert re.search(r"^demo:", makefile, flags=re.MULTILINE)
    assert re.search(r"^test:", makefile, flags=re.MULTILINE)


def test_constraints_pin_every_dependency_there_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["demo"], *extras["benchmark"], *extras["test"]]
    names = {re.split(r"[<>=\[ ]", line)[0].lower().replace("_", "-") for line in wanted}
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert not names - pinned
