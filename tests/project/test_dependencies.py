"""What is pinned has a licence that may be used, and the audit says so when it could not look."""

import importlib.util
import json
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


AUDITED = {"six": {"vulns": []}}
VULNERABLE = {"six": {"vulns": [{"id": "PYSEC-1"}]}}
SKIPPED = {"six": {"skip_reason": "not found"}}


@pytest.mark.parametrize(
    ("answer", "newest", "expected"),
    [
        (None, None, (2, "nothing was checked")),
        (AUDITED, None, (0, "1 of 1 pins audited, 0 of them vulnerable")),
        (VULNERABLE, None, (1, "six 1.17.0: PYSEC-1")),
        (SKIPPED, (None, []), (2, "not audited, the index tells only of nothing")),
        (SKIPPED, ("2.0", []), (2, "not audited, the index tells only of 2.0")),
        (SKIPPED, ("1.17.0", []), (0, "1 of 1 pins audited")),
        (SKIPPED, ("1.17.0", ["GHSA-1"]), (1, "six 1.17.0: GHSA-1")),
        ({}, None, (2, "0 of 1 pins audited")),
    ],
)
def test_an_audit_that_could_not_look_never_passes(monkeypatch, tmp_path, answer, newest, expected):
    audit = script("audit")
    said = (
        ""
        if answer is None
        else json.dumps(
            {"dependencies": [{"name": name} | facts for name, facts in answer.items()]}
        )
    )
    done = SimpleNamespace(returncode=1, stdout=said, stderr="ConnectionError: no route")
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(audit, "newest_release", lambda _: newest)
    pins = tmp_path / "constraints.txt"
    pins.write_text("# tested\nsix==1.17.0\n", encoding="utf-8")
    code, words = audit.audit(pins)
    assert code == expected[0]
    assert expected[1] in words
