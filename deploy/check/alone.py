"""``python3 -m deploy check`` on a bare Python: before anything is installed.

Of the commands of ``python -m deploy`` this one alone works without packages.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.check import options
from deploy.check.machine import ThisMachine
from deploy.check.report import WRONG_USAGE, show_json, show_plainly
from deploy.check.run import Asked, check, is_installed

_NAME = "python3 -m deploy"
_ABSENT = (
    "deploy: the packages of the service are not installed for this Python; only `check` works "
    "before scripts/setup or deploy/install has been run"
)


def is_needed() -> bool:
    """Whether this Python lacks what the other commands import."""
    return not is_installed()


def main(argv: Sequence[str]) -> int:
    """Run the check; its exit status. Raises SystemExit after --help and for wrong usage."""
    if argv[:1] != ["check"]:
        print(_ABSENT, file=sys.stderr)
        return WRONG_USAGE
    asked = _parser().parse_args(argv[1:])
    report = check(ThisMachine(), Asked(asked.config, asked.role, asked.expect), installed=False)
    (show_json if asked.json else show_plainly)(report)
    return report.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"{_NAME} check", description=options.SHORT, epilog=options.EPILOG, allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, metavar="FILE", default=Path("config.yml"),
                        help=options.CONFIG)  # fmt: skip
    parser.add_argument("--expect", type=Path, metavar="FILE", help=options.EXPECT)
    parser.add_argument("--for", dest="role", choices=options.ROLES, default=options.ROLES[0],
                        help=options.ROLE)  # fmt: skip
    parser.add_argument("--json", action="store_true", help=options.AS_JSON)
    return parser
