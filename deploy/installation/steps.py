"""Steps of an installation: what is done already is not done again, and a dry run does nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One thing that is to be so.

    title: what is done, as an operator reads it. is_done: whether it is so already. do: makes it
    so.
    """

    title: str
    is_done: Callable[[], bool]
    do: Callable[[], None]


def take(steps: Sequence[Step], dry: bool, say: Callable[[str], None]) -> int:
    """Take the steps that are not done yet; how many those are. dry: say them only."""
    taken = 0
    for step in steps:
        if step.is_done():
            continue
        taken += 1
        say(f"would {step.title}" if dry else step.title)
        if not dry:
            step.do()
    return taken
