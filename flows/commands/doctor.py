"""Each line is a fact and, where it is not well, the next step."""

import argparse
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.commands import Answer, add_config

PACKAGES = ("prefect", "torch", "transformers", "polars", "pyarrow", "faiss-cpu")
SUPPORTED = ((3, 11), (3, 13))
ROOM_BYTES = 2_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pwrank doctor`."""
    add_config(parser)


def run(options: argparse.Namespace) -> Answer:
    """Look at Python, libraries, processor, encoder, Prefect, configuration and lake."""
    findings = [_python(), *_packages(), *_processor(), _prefect(), *_configured(options.config)]
    lines = [f"{'ok  ' if ok else 'MEND'}  {what:<14} {fact}" for what, ok, fact in findings]
    data = [{"what": what, "ok": ok, "fact": fact} for what, ok, fact in findings]
    return Answer("\n".join(lines), data, exit_code=0 if all(f[1] for f in findings) else 2)


Finding = tuple[str, bool, str]


def _python() -> Finding:
    fits = SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]
    return "python", fits, platform.python_version()


def _packages() -> list[Finding]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, True, version(name)))
        except PackageNotFoundError:
            found.append((name, False, "not installed; install pwrank again"))
    return found


def _processor() -> list[Finding]:
    from pwrank.machine import describe_machine

    return [(what, True, fact) for what, fact in describe_machine().items()]


def _prefect() -> Finding:
    from prefect.settings import PREFECT_API_URL

    from pwrank.errors import without_credentials

    url = without_credentials(PREFECT_API_URL.value() or "")
    return "prefect api", True, url or "none configured; each command starts its own"


def _configured(path: Path) -> list[Finding]:
    from pwrank.config_file import load_config
    from pwrank.encoder.files import find_encoder_files
    from pwrank.errors import PwrankError
    from pwrank.store import Store

    if not path.exists():
        return [("configuration", True, f"{path} is not there; `pwrank init` writes one")]
    try:
        config = load_config(path, os.environ)
    except PwrankError as error:
        return [("configuration", False, str(error))]
    findings: list[Finding] = [("configuration", True, f"{path} is valid")]
    try:
        Store(config.lake).open()
        free = shutil.disk_usage(config.lake).free
        findings.append(("lake", free > ROOM_BYTES, f"{config.lake}, {free / 1e9:.1f} GB free"))
    except PwrankError as error:
        findings.append(("lake", False, str(error)))
    try:
        findings.append(("encoder", True, str(find_encoder_files(config.encoder).folder)))
    except PwrankError as error:
        findings.append(("encoder", False, str(error)))
    return findings
