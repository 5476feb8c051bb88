"""``python -m deploy dashboards``: write the files that Grafana reads."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deploy.errors import DeployError
from deploy.monitoring.dashboards.library import LIBRARY
from deploy.monitoring.dashboards.service import SERVICE
from deploy.monitoring.dashboards.tenants import TENANTS

DASHBOARDS = (SERVICE, TENANTS, LIBRARY)


def documents() -> dict[str, str]:
    """The content of each file by its name."""
    return {
        f"{one.uid}.json": json.dumps(one.document(), indent=1, ensure_ascii=False) + "\n"
        for one in DASHBOARDS
    }


@click.command(short_help="Write Grafana's dashboards.")
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Where to; made if need be.",
)
def dashboards(folder: Path) -> int:
    """Write the dashboards of the service, its tenants and its library, a file of JSON each.

    They have two variables: the data source and the tenants. deploy/monitoring/grafana has the
    same files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in documents().items():
            (folder / name).write_text(content, encoding="utf-8")
            print(folder / name)
    except OSError as error:
        raise DeployError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return 0
