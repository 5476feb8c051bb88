"""What an installation asks of a release's own programs, run as the service's user."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.installation.errors import InstallError
from deploy.installation.host import Host, run
from deploy.installation.layout import NAME, Layout
from deploy.installation.source import python_of


@dataclass(frozen=True)
class Revisions:
    """The migrations of the library's tables, and of the gateway's keys."""

    library: str
    keys: str


def check_first(project: Path, layout: Layout, role: str) -> bool:
    """Whether `deploy check` finds the machine good, by this Python: nothing is installed yet."""
    config = layout.config if layout.config.is_file() else project / "config.yml"
    words = ["-m", "deploy", "check", "--for", role, "--config", str(config)]
    try:
        run([sys.executable, *words], None, project)
    except InstallError:
        return False
    return True


class Programs:
    """A release's commands."""

    def __init__(self, folder: Path, layout: Layout, host: Host) -> None:
        self._folder = folder
        self._layout = layout
        self._host = host

    def heads(self) -> Revisions:
        """The migrations that this release's databases have."""
        return Revisions(**json.loads(self._run("deploy", "migrate", "--heads", capture=True)))

    def try_settings(self) -> None:
        """Raise InstallError where it cannot read the settings, or not reach the database."""
        self._run("deploy", "migrate", "--show", *self._config())

    def migrate(self, to: Revisions) -> None:
        """Bring the database to these migrations, up or down."""
        self._run("deploy", "migrate", "--to", f"{to.library},{to.keys}", *self._config())

    def back_up(self) -> None:
        """Write a backup where the settings have them."""
        self._run("deploy", "backup", *self._config())

    def check(self, role: str) -> bool:
        """Whether `deploy check` finds the machine good."""
        try:
            self._run("deploy", "check", "--for", role, *self._config())
        except InstallError:
            return False
        return True

    def _config(self) -> tuple[str, str]:
        return "--config", str(self._layout.config)

    def _run(self, module: str, *words: str, capture: bool = False) -> str:
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": f"/var/lib/{NAME}",
            "COLUMNS": "160",
        }
        command = [str(python_of(self._folder)), "-m", module, *words]
        return run(command, environment, self._folder, self._host.user(), capture)
