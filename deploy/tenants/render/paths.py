"""Where things are that the rendered files name."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.tenants.tenant import Tenant

ROOT = Path(__file__).resolve().parents[3]
NOTE = "Written by `python -m deploy tenants render`; change the tenant file instead."


@dataclass(frozen=True)
class Place:
    """The folder that all files are rendered into; absolute."""

    folder: Path

    def settings(self, tenant: Tenant) -> Path:
        """A tenant's `config.yml` on this machine."""
        return self.folder / "settings" / f"{tenant.name}.yml"


@dataclass(frozen=True)
class Inside:
    """The places in a container, where deploy/Dockerfile has them."""

    python: str = "/opt/face-serving/.venv/bin/python"
    program: str = "/opt/face-serving/web_service.py"
    config: str = "/etc/face-serving/config.yml"
    data: str = "/var/lib/face-serving"
    log: str = "/var/log/face-serving"
    models: str = "/opt/face-serving/models"


def program() -> list[str]:
    """How the service is started here; its `--config` follows."""
    return [sys.executable, str(ROOT / "web_service.py")]
