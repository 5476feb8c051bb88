"""Types of command lines' arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def number(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], float]:
    """An argparse type for numbers within bounds."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"not a number: {text}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not within {least:g} and {most:g}")
        return value

    return convert
