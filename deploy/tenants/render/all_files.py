"""All files that a tenant file stands for, and writing them."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.tenants.render import containers, proxies, systemd, watching
from deploy.tenants.render.paths import Place
from deploy.tenants.settings_file import settings_of, text_of
from deploy.tenants.tenant_file import TenantFile


def rendered(file: TenantFile, folder: Path) -> dict[str, str]:
    """Relative path and text of each file, for a folder where they will be; in the order of paths.

    Raises ConfigError.
    """
    place = Place(folder)
    found = {
        str(place.settings(tenant).relative_to(folder)): text_of(settings_of(file, tenant))
        for tenant in file.tenants
    }
    found.update(systemd.files(file, place))
    found.update(containers.files(file, place))
    found.update(proxies.nginx(file))
    found.update(proxies.traefik(file))
    found.update(watching.prometheus(file))
    found.update(watching.logrotate(file))
    return dict(sorted(found.items()))


def write(files: dict[str, str], folder: Path) -> list[str]:
    """Write what is not there or differs; the paths that were written. Raises OSError.

    Each file is replaced as a whole: who reads it meanwhile has the old one.
    """
    changed = []
    for name, text in files.items():
        path = folder / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)
        changed.append(name)
    return changed
