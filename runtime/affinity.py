"""Which cores processes run on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@contextlib.contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """What this thread starts within the block runs on these cores only; none: on all as before."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, cores: Collection[int]) -> None:
    """Move all threads of a running process to these cores.

    Raises FileNotFoundError when there is no such process.
    """
    # Linux keeps cores by thread. A thread that one starts meanwhile is met the second time.
    for _ in range(2):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task), cores)


def whole_cores() -> list[int]:
    """Numbers of the usable cores, those of one physical core (hyper-threads) only once."""
    usable, found = sorted(os.sched_getaffinity(0)), []
    taken: set[int] = set()
    for core in usable:
        if core not in taken:
            found.append(core)
            taken |= _siblings(core)
    return found


def _siblings(core: int) -> set[int]:
    try:
        text = Path(_SIBLINGS.format(core)).read_text(encoding="ascii")
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
