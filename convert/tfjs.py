"""Reads TensorFlow.js graph models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from convert.translation import Translation


def translate(
    json_path: Path,
    out_dir: Path,
    *,
    input_alias: str = "image",
    outputs: Optional[Sequence[str]] = None,
) -> Translation:
    """Write the graph model of ``json_path`` as a Paddle inference model into ``out_dir``."""
    raise NotImplementedError
