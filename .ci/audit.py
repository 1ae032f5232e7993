"""`make audit`: known vulnerabilities of every pinned dependency, by pip-audit.

Asks the index, so it needs a network. A mirror that knows no single releases still tells of the
newest one: pins that are the newest are audited by that. Exit code 1 for a vulnerability, 2 if a
pin could not be audited.
"""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
ARGUMENTS = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
PROJECT = "https://pypi.org/pypi/{name}/json"
PIN = re.compile(r"^([\w.-]+)==([\w.!+-]+)", re.MULTILINE)


def audit(constraints: Path) -> tuple[int, str]:
    """Exit code and what is to be said."""
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), *ARGUMENTS],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        why = (done.stderr.strip() or "pip-audit said nothing").splitlines()[-1]
        return 2, f"audit: {why}\nnothing was checked: `make audit` needs a network"
    pins = {plain(name): pin for name, pin in PIN.findall(constraints.read_text("utf-8"))}
    known = {plain(one["name"]): [v["id"] for v in one["vulns"]] for one in found if "vulns" in one}
    unknown = {}
    for name in (plain(one["name"]) for one in found if "skip_reason" in one):
        newest, vulnerabilities = newest_release(name)
        if newest == pins[name]:
            known[name] = vulnerabilities
        else:
            unknown[name] = newest
    return verdict(pins, known, unknown)


def plain(name: str) -> str:
    """The name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def newest_release(name: str) -> tuple[str | None, list[str]]:
    """Version and known vulnerabilities of the newest release; None if the index does not say."""
    try:
        with urllib.request.urlopen(PROJECT.format(name=name), timeout=60) as answer:  # noqa: S310 - https
            project = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ValueError):
        return None, []
    return project["info"]["version"], [one["id"] for one in project["vulnerabilities"]]


def verdict(
    pins: dict[str, str], known: dict[str, list[str]], unknown: dict[str, str | None]
) -> tuple[int, str]:
    """Exit code and words for vulnerabilities by name, and names without an answer."""
    vulnerable = {name: ids for name, ids in known.items() if ids}
    lines = [f"{name} {pins[name]}: {', '.join(ids)}" for name, ids in vulnerable.items()]
    lines += [
        f"{name} {pins[name]}: not audited, the index tells only of {newest or 'nothing'}"
        for name, newest in unknown.items()
    ]
    lines.append(
        f"audit: {len(known)} of {len(pins)} pins audited, {len(vulnerable)} of them vulnerable"
    )
    return (1 if vulnerable else 2 if len(known) < len(pins) else 0), "\n".join(lines)


if __name__ == "__main__":
    code, said = audit(CONSTRAINTS)
    print(said, file=sys.stderr if code else sys.stdout)
    sys.exit(code)
