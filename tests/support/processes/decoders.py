"""Decoder processes as tests look at them from outside."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import psutil


def decoders_among(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that are decoders."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ops.pictures.decoder_process" in process.cmdline():
                found.append(process)
    return found


def others_among(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that are none: decoders come with the pictures that need one, and go."""
    processes = list(processes)
    decoders = decoders_among(processes)
    return [process for process in processes if process not in decoders]


def is_at_work(process: psutil.Process) -> bool:
    """Whether a decoder has a file and room for its pixels."""
    shared = 0
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                shared += "memfd" in os.readlink(f"/proc/{process.pid}/fd/{descriptor}")
    return shared > 1
