"""Every file in deploy/, as far as a machine without Docker and without a cluster can tell."""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from datetime import datetime
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import yaml
from cronsim import CronSim
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.events.schemas.automations import AutomationCore

from flows.environment import DEFAULTS
from pwrank.config_file import load_config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DEPLOYED_ONLY = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY"}


def read_yaml(name: str):
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


@pytest.fixture(params=["nightly", "retrain", "backfill"])
def deployment(request):
    found = {told["name"]: told for told in read_yaml("prefect.yaml")["deployments"]}
    assert found.keys() == {"nightly", "retrain", "backfill"}
    return found[request.param]


def test_prefect_reads_the_deployments_and_fetches_nothing():
    content = read_yaml("prefect.yaml")
    PrefectYamlModel.model_validate(content)
    assert content["pull"] == []


def test_an_entrypoint_is_a_module_path_and_takes_the_parameters(deployment):
    module, name = deployment["entrypoint"].rsplit(".", 1)
    flow = getattr(importlib.import_module(module), name)
    assert flow.name == deployment["name"]
    assert deployment["parameters"].keys() <= inspect.signature(flow.fn).parameters.keys()


def test_schedules_parse_and_one_run_at_a_time_waits_for_the_other(deployment):
    for schedule in deployment["schedules"]:
        moment = datetime(2026, 11, 25, tzinfo=ZoneInfo(schedule["timezone"]))
        assert next(CronSim(schedule["cron"], moment)) > moment
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert bool(deployment["schedules"]) == (deployment["name"] == "nightly")


def test_deployed_runs_have_the_environment_of_the_command(deployment):
    environment = deployment["work_pool"]["job_variables"]["env"]
    assert {k: v for k, v in environment.items() if k not in DEPLOYED_ONLY} == DEFAULTS
    assert deployment["work_pool"]["name"] == "pwrank"


def test_automations_are_valid_and_tell_of_failed_late_and_vanished_runs():
    text = (DEPLOY / "automations.yaml").read_text(encoding="utf-8")
    told = yaml.safe_load(text.replace("NOTIFICATION_BLOCK_ID", str(uuid4())))
    found = {a["name"]: AutomationCore.model_validate(a) for a in told["automations"]}
    assert [name.removeprefix("pwrank run ") for name in found] == ["failed", "late", "vanished"]
    expected = {name: automation.trigger.expect for name, automation in found.items()}
    assert "prefect.flow-run.Failed" in expected["pwrank run failed"]
    assert "prefect.flow-run.Crashed" in expected["pwrank run failed"]
    assert expected["pwrank run late"] == {"prefect.flow-run.Late"}
    vanished = found["pwrank run vanished"].trigger
    beat = read_yaml("prefect.yaml")["definitions"]["pool"]["job_variables"]["env"]
    assert vanished.within.total_seconds() > 3 * int(beat["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert "prefect.flow-run.heartbeat" in vanished.after & vanished.expect


@pytest.mark.parametrize("name", ["nightly", "smoke"])
def test_a_configuration_is_valid_and_its_header_is_the_command_that_runs_it(name):
    path = DEPLOY / "configs" / f"{name}.toml"
    load_config(path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert f"pwrank run --config deploy/configs/{name}.toml" in first


def test_the_image_holds_the_wheel_as_tested_runs_as_nobody_and_calls_nobody():
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    told = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    installs = [what for verb, what in told if verb == "RUN" and "pip install" in what]
    assert installs
    assert all("--constraint /app/constraints.txt" in what for what in installs)
    users = [what for verb, what in told if verb == "USER"]
    assert users
    assert "root" not in users
    environment = " ".join(what for verb, what in told if verb == "ENV")
    for setting in ("PREFECT_SERVER_ANALYTICS_ENABLED=false", "DO_NOT_TRACK=1", "HF_HUB_OFFLINE=1"):
        assert setting in environment
    for verb, what in told:
        if verb == "COPY" and "--from" not in what:
            assert all((ROOT / source).exists() for source in what.split()[:-1]), what
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for package in packages["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert ["COPY", f"{package} {package}"] in told


def test_compose_starts_database_server_deployments_and_worker_in_that_order():
    services = read_yaml("compose.yaml")["services"]
    assert list(services) == ["postgres", "server", "deploy", "worker"]
    for later, earlier in (("server", "postgres"), ("deploy", "server"), ("worker", "deploy")):
        assert earlier in services[later]["depends_on"]
    assert services["deploy"]["environment"]["PWRANK_CONFIG"] == "/etc/pwrank/nightly.toml"
    pool = read_yaml("prefect.yaml")["definitions"]["pool"]["name"]
    assert pool in services["worker"]["command"]
    assert f"--overwrite {pool} " in services["deploy"]["command"][-1]


def test_the_readme_names_every_file():
    told = (DEPLOY / "README.md").read_text(encoding="utf-8")
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert str(path.relative_to(DEPLOY)) in told
    for target in re.findall(r"\]\(([^)#:]+)\)", told):
        assert (DEPLOY / target).exists(), target
