"""What is pinned has a licence that may be used, and the audit says so when it could not look."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_pinned_dependency_here_has_a_licence_that_is_accepted():
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "licences.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, [line for line in done.stdout.splitlines() if "REFUSED" in line]
    assert re.search(r"^polars +MIT", done.stdout, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only", False),
        ("MIT AND LGPL-2.1", False),
        ("GNU Affero General Public License v3", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_that_is_unknown_or_asks_for_more_is_refused(licence, accepted):
    assert script("licences").is_accepted(licence) == accepted


def test_every_pin_names_one_version():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+-]+", line) for line in pins)
    names = [line.split("==")[0].lower().replace("_", "-") for line in pins]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("code", "said", "expected", "told"),
    [
        (1, "requests.exceptions.ConnectionError: no route", 2, "nothing was checked"),
        (1, "No module named pip_audit", 2, "nothing was checked"),
        (0, "six  could not be audited", 2, "1 packages are not known to the index"),
        (1, "Found 1 known vulnerability in 1 package", 1, "Found 1 known"),
        (0, "No known vulnerabilities found", 0, "No known"),
    ],
)
def test_an_audit_that_could_not_look_never_passes(monkeypatch, code, said, expected, told):
    audit = script("audit")
    done = SimpleNamespace(returncode=code, stdout=said, stderr="")
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    found, words = audit.audit(Path("constraints.txt"))
    assert found == expected
    assert told in words
