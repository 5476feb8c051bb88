"""``-m deploy.tenants.processes.keep FILE NAME``: keep a tenant of a file until SIGTERM."""

from __future__ import annotations

import sys

from deploy.errors import DeployError
from deploy.tenants.processes.keeper import Keeper
from deploy.tenants.processes.keeping import kept_of
from deploy.tenants.tenant_file import load_tenants
from settings.config import ConfigError


def main(argv: list[str]) -> int:
    """0 after SIGTERM, 2 for what cannot be kept, or is kept by another process."""
    try:
        file = load_tenants(argv[0])
        return Keeper(kept_of(file, file.tenant(argv[1]))).run()
    except (ConfigError, DeployError) as error:
        print(f"deploy: {error}", file=sys.stderr, flush=True)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
