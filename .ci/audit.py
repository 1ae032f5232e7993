"""`make audit`: known vulnerabilities of every pinned dependency, by pip-audit.

Asks the index, so it needs a network; without one it says that nothing was checked. Exit code 1
for a vulnerability, 2 if nothing could be checked.
"""

import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
ARGUMENTS = ("--no-deps", "--disable-pip", "--progress-spinner", "off")
UNREACHABLE = (
    "ConnectionError",
    "ConnectError",
    "Max retries",
    "ServiceError",
    "Temporary failure",
)


def audit(constraints: Path) -> tuple[int, str]:
    """Exit code and what is to be said."""
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), *ARGUMENTS],
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    if "No module named pip_audit" in told:
        return 2, "audit: pip-audit is not installed; `make audit` installs it\nnothing was checked"
    if any(word in told for word in UNREACHABLE):
        return 2, "audit: the index cannot be reached; run it with a network\nnothing was checked"
    skipped = told.count("could not be audited")
    if skipped and not done.returncode:
        return 2, f"{told.strip()}\naudit: {skipped} packages are not known to the index, see above"
    return done.returncode, told.strip()


if __name__ == "__main__":
    code, said = audit(CONSTRAINTS)
    print(said, file=sys.stderr if code else sys.stdout)
    sys.exit(code)
