"""``python -m deploy.containers.finishing``: the last step of a build, in the image itself.

Writes the settings that the image starts with, and the list of what is in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.containers.image_settings import IMAGE, changed
from deploy.containers.places import MODELS, PROGRAM, SBOM, SETTINGS
from deploy.sbom.document import make_document, written
from settings.config import load_config


def main() -> int:
    """Write both; 0. Raises ConfigError where the settings would not do."""
    settings = changed(PROGRAM / "config.yml", IMAGE)
    SETTINGS.write_text(settings, encoding="utf-8")
    load_config(SETTINGS)
    # Commands without --config mean the container's settings.
    own = PROGRAM / "config.yml"
    own.unlink()
    own.symlink_to(SETTINGS)
    SBOM.write_text(written(make_document(PROGRAM, MODELS, Path("/"))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
