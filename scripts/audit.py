"""Looks the versions of the locks up in public lists of known holes: ``make audit``.

``make audit ADVISORIES=DIR`` looks in a copy of PyPA's advisory database instead of asking anybody.
Exit status 1 where a version has a hole that a later one does not have. A hole that nobody has
closed yet is told, and so is that no list could be reached: a private installation has no way out,
and both end well. Run with the Python of .venv, which has pip-audit.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import Any

import advisories

ROOT = Path(__file__).resolve().parents[1]
# What runs in the service, on a CPU or a GPU, and what tests, lint and benches add.
LOCKS = (
    "requirements.lock",
    "requirements-gpu.lock",
    "requirements-build.lock",
    "requirements-dev.lock",
)
# Lists that pip-audit can ask, in the order in which they are tried.
SOURCES = ("osv", "pypi")
_PIN = re.compile(r"^([a-z0-9._-]+==[^\s;\\]+)", re.MULTILINE)


def main() -> int:
    """Print what is known; the exit status."""
    wanted = pins([ROOT / name for name in LOCKS])
    if copy := os.environ.get("ADVISORIES"):
        try:
            return show(copy, advisories.look_up(Path(copy), list(chain(*wanted))))
        except FileNotFoundError as error:
            print(f"audit: ADVISORIES: {error}", file=sys.stderr)
            return 2
    for source in SOURCES:
        found = ask(source, wanted)
        if found is not None:
            return show(source, found)
    print("audit: no list of known holes can be reached from here; nothing was checked")
    return 0


def pins(locks: list[Path]) -> list[list[str]]:
    """NAME==VERSION of all locks, whatever Python they are for; each list has a name once."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for lock in locks:
        for pin in _PIN.findall(lock.read_text(encoding="utf-8")):
            versions = by_name[pin.partition("==")[0]]
            if pin not in versions:
                versions.append(pin)
    most = max(map(len, by_name.values()))
    return [[v[place] for v in by_name.values() if len(v) > place] for place in range(most)]


def ask(source: str, wanted: list[list[str]]) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package; None where the source does not answer."""
    answers: list[dict[str, Any]] = []
    for some in wanted:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(some))
            file.flush()
            command = [sys.executable, "-m", "pip_audit", "--requirement", file.name]
            options = [
                "--no-deps",
                "--disable-pip",
                "--progress-spinner",
                "off",
                "--format",
                "json",
            ]
            done = subprocess.run(
                [*command, *options, "--vulnerability-service", source, "--timeout", "10"],
                capture_output=True,
                text=True,
                check=False,
            )
        try:
            answers += json.loads(done.stdout)["dependencies"]
        except ValueError:
            return None
    return answers if any("vulns" in one for one in answers) else None


def show(source: str, answers: list[dict[str, Any]]) -> int:
    """A line for each hole; 1 where one could be closed, else 0."""
    closable = 0
    for one in answers:
        for hole in one.get("vulns", ()):
            fixed = ", ".join(hole["fix_versions"])
            closable += bool(fixed)
            print(f"{one['name']} {one['version']}: {hole['id']}, fixed in {fixed or 'no version'}")
        if "skip_reason" in one:
            print(f"{one['name']}: not looked up, {one['skip_reason']}")
    checked = sum("vulns" in one for one in answers)
    print(f"audit: {checked} packages checked with {source}, {closable} holes that could be closed")
    return 1 if closable else 0


if __name__ == "__main__":
    sys.exit(main())
