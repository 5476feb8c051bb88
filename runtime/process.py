"""Processes that never outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
PARENT = "FACE_SERVICE_PARENT"  # the environment's name for the process that a child ends with
_PR_SET_PDEATHSIG = 1
# Memory is given back where so much more is held than at the least, looked at so often.
_GROWTH_BYTES, _LOOK_S = 64 * 1024 * 1024, 5.0
_LOOKS = 3


def child_environment() -> dict[str, str]:
    """The environment of a Python process that this one starts.

    It finds the project's modules wherever it runs, and can tell in `die_with_parent` that it came
    too late.
    """
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        PARENT: str(os.getpid()),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }


def die_with_parent() -> None:
    """End this process when its parent is gone, also when that was killed with SIGKILL.

    The kernel does it on Linux (prctl(2), PR_SET_PDEATHSIG); elsewhere a thread looks once a
    second. To be called first thing in the child.
    """
    parent = os.getppid()
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    expected = os.environ.get(PARENT)
    if expected is not None and int(expected) != os.getppid():
        os._exit(1)  # the parent died before the kernel was asked


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def allow_many_connections() -> None:
    """As many open files as this user may have: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def take_turns_quickly() -> None:
    """Let threads wait 0.1 ms for Python's lock at most, instead of 5 ms.

    A thread that comes back from a network or a search has to have the lock for what follows.
    """
    sys.setswitchinterval(0.0001)


def give_memory_back() -> None:
    """Return freed memory to the system from time to time, on a thread.

    glibc keeps what lies below anything that is still in use: one burst of large requests, and a
    process is hundreds of MB larger until it ends. Does nothing with another C library.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        threading.Thread(target=_trim_again_and_again, args=(trim,), daemon=True).start()


def _trim_again_and_again(trim: Callable[[int], int]) -> None:
    least = last = _resident_bytes()
    looks = 0
    while True:
        time.sleep(_LOOK_S)
        now = _resident_bytes()
        least = min(least, now)
        looks += 1
        # What is freed later does not show in the size, so it is tried again after some looks.
        if now > least + _GROWTH_BYTES and (now > last + _GROWTH_BYTES or looks >= _LOOKS):
            trim(0)
            last, looks = _resident_bytes(), 0


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
