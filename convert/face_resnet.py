"""Builds dlib's face recognition ResNet from the weights of the face-api package."""

from __future__ import annotations

from pathlib import Path

from convert.translation import Translation


def translate(package_dir: Path, out_dir: Path) -> Translation:
    """Write the network as a Paddle inference model into ``out_dir``."""
    raise NotImplementedError
