"""The wheel ships three packages and nobody else provides them."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_generic_package_names_are_ours_alone():
    owners = packages_distributions()
    for name in ("flows", "tasks", "pwrank"):
        assert set(owners.get(name, ["pwrank"])) == {"pwrank"}


def test_the_wheel_holds_the_three_packages_only():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["flows", "tasks", "pwrank"]


def test_no_file_of_flows_or_tasks_bears_the_name_of_a_package():
    names = {path.stem for folder in ("flows", "tasks") for path in (ROOT / folder).glob("*.py")}
    assert not names & {"prefect", "torch", "polars", "tasks", "flows", "pwrank", "transformers"}
