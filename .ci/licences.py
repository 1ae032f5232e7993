"""`make licences`: every pinned dependency with its licence, and a refusal of what may not be used.

Reads what the packages on this machine say of themselves; needs no network. Exit code 1 for a
licence that is unknown or asks more than to be named, such as the GPL.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
ACCEPTED = re.compile(
    r"(the )?(MIT|BSD|0BSD|Apache|ISC|MPL|Mozilla Public|PSF|Python Software Foundation|CNRI-Python"
    r"|Zlib|CC0|BSL|LLVM-exception|DFSG approved)\b",
    re.IGNORECASE,
)
CHOSEN = {"text-unidecode": "Artistic License"}
"""Of several licences on offer, the one under which a package is used here."""


def pinned(constraints: str) -> list[str]:
    """Names of the packages in a constraints file."""
    return [line.split("==")[0].strip() for line in constraints.splitlines() if "==" in line]


def licence_of(name: str) -> str:
    """What a package says its licence is, on one line; '' if nothing, None if it is not here."""
    told = metadata(name)
    if name in CHOSEN:
        return CHOSEN[name]
    if expression := told.get("License-Expression"):
        return expression
    classifiers = told.get_all("Classifier") or []
    named = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License ::")]
    return " AND ".join(named) or next(iter((told.get("License") or "").strip().splitlines()), "")


def is_accepted(licence: str) -> bool:
    """Whether every licence of an expression is one that we accept."""
    parts = [part.strip(" ()") for part in re.split(r"\b(?:AND|OR|WITH)\b", licence)]
    return all(ACCEPTED.match(part) or part in CHOSEN.values() for part in parts)


def main() -> int:
    """Print the table. Returns the exit code."""
    refused = absent = 0
    for name in pinned(CONSTRAINTS.read_text(encoding="utf-8")):
        try:
            licence = licence_of(name)
        except PackageNotFoundError:
            absent += 1
            print(f"{name:<32} not installed here")
            continue
        good = is_accepted(licence)
        refused += not good
        print(f"{name:<32} {licence or 'says nothing'}{'' if good else '   REFUSED'}")
    print(f"{refused} refused, {absent} not installed", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
