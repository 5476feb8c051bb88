"""The settings of a container: the project's own `config.yml`, comments and all, other places."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.containers.places import DATA, LOGS, MODELS

# Of the image: the gateway for everybody, who needs a key then; what is kept is in volumes.
IMAGE: dict[str, Any] = {
    "models_dir": str(MODELS),
    "log.dir": str(LOGS),
    "gateway.host": "0.0.0.0",  # noqa: S104 - the container's own; what is published says its host
    "gateway.token_file": str(DATA / "tokens.db"),
    "library.database": f"sqlite:///{DATA / 'faces.db'}",
    "library.index.snapshot_dir": str(DATA / "snapshots"),
}
# Of deploy/compose.yml: PostgreSQL beside it, and nginx in front, at the address that it has there.
COMPOSE: dict[str, Any] = {
    **IMAGE,
    "library.database": "postgresql://face:${file:/run/secrets/database_password}@postgres/face",
    "gateway.trusted_proxies": ["172.30.83.10"],
}
# Of the chart: the pipeline is on other pods, and its ports are for those that may reach them.
CHART: dict[str, Any] = {
    **IMAGE,
    "rpc_host": "0.0.0.0",  # noqa: S104 - the pod's; a NetworkPolicy says who reaches it
    "http_host": "0.0.0.0",  # noqa: S104
}
_WIDE = 1000


def changed(source: Path, changes: Mapping[str, Any]) -> str:
    """The text of a file of settings with other values.

    changes: by key with dots, of keys that are in the file. Raises KeyError for another one.
    """
    yaml = YAML()
    yaml.width = _WIDE
    yaml.preserve_quotes = True
    document = yaml.load(source.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = document
        for name in sections:
            section = section[name]
        if last not in section:
            raise KeyError(key)
        section[last] = value
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
