"""Where a container has what: the image's own folders, and the volumes."""

from __future__ import annotations

from pathlib import Path

PROGRAM = Path("/opt/face-serving")
MODELS = PROGRAM / "models"
SETTINGS = Path("/etc/face-serving/config.yml")
DATA = Path("/var/lib/face-serving")
LOGS = Path("/var/log/face-serving")
SBOM = Path("/usr/share/face-serving/sbom.json")
