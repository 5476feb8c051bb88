"""Processes that never outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


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
    expected = os.environ.get("FACE_SERVICE_PARENT")
    if expected is not None and int(expected) != os.getppid():
        os._exit(1)  # the parent died before the kernel was asked


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def say_ready() -> None:
    """Tell the parent that this process serves."""
    pipe = os.environ.get("FACE_SERVICE_READY")
    if pipe is not None:
        os.write(int(pipe), b"ready")
        os.close(int(pipe))


def allow_many_connections() -> None:
    """As many open files as this user may have: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def take_turns_quickly() -> None:
    """Let threads wait 0.1 ms for Python's lock at most, instead of 5 ms.

    A thread that comes back from a network or a search has to have the lock for what follows.
    """
    sys.setswitchinterval(0.0001)
