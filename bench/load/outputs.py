"""Files that a benchmark writes at its end, checked at its start."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DRAWN = (".png", ".svg", ".pdf")


def output_file(text: str) -> Path:
    """The path of an argument. Raises argparse.ArgumentTypeError where it cannot be written."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no file in a folder that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path


def plot_file(text: str) -> Path:
    """As `output_file`, and of a kind that can be drawn."""
    path = output_file(text)
    if path.suffix.lower() not in DRAWN:
        raise argparse.ArgumentTypeError(f"{text} does not end with {' or '.join(DRAWN)}")
    return path
