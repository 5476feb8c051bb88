"""Where things are that the rendered files name."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import ROOT

NOTE = "Written by `python -m deploy tenants render`; change the tenant file instead."


@dataclass(frozen=True)
class Place:
    """The folder that all files are rendered into; absolute."""

    folder: Path

    def settings(self, tenant: Tenant) -> Path:
        """A tenant's `config.yml` on this machine."""
        return self.folder / "settings" / f"{tenant.name}.yml"


def program() -> list[str]:
    """How the service is started here; its `--config` follows."""
    return [sys.executable, str(ROOT / "web_service.py")]
