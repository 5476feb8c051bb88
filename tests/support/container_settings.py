"""``python -m tests.support.container_settings``: the settings of containers, from `config.yml`."""

from __future__ import annotations

from pathlib import Path

from deploy.containers.image_settings import CHART, COMPOSE, changed
from tests.support.service import ROOT

FILES = {
    ROOT / "deploy" / "compose" / "config.yml": COMPOSE,
    ROOT / "deploy" / "helm" / "face-serving" / "config.yml": CHART,
}


def text(file: Path) -> str:
    """What a file has to hold."""
    return changed(ROOT / "config.yml", FILES[file])


if __name__ == "__main__":
    for file in FILES:
        file.write_text(text(file), encoding="utf-8")
