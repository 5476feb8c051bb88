"""Who used the processors while a measurement ran."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping

import psutil

IDLE_CORES = 0.05
IDLE_S = 0.2
IDLE_TIMEOUT_S = 10.0


def wait_until_idle(pids: Mapping[str, int], seconds: float = IDLE_TIMEOUT_S) -> None:
    """Return when the processes have nothing more to do.

    A generator that stops leaves requests under way; their work is not the next side's.
    Raises RuntimeError after `seconds`: on a machine that is not quiet nothing is measured.
    """
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        meter = Meter(pids)
        time.sleep(IDLE_S)
        used = meter.cores()
        if sum(used[name] for name in pids) < IDLE_CORES:
            return
    raise RuntimeError("the service does not come to rest: is somebody else using it?")


class Meter:
    """Processor time of processes, between its making and `cores`.

    pids: name to process; its descendants are counted with it unless they have names of their
    own. Children of this process that ended meanwhile (load generators) are counted as
    `generator`.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._families = {name: _family(pid, set(pids.values())) for name, pid in pids.items()}
        self._before = self._now()
        self._started = time.perf_counter()

    def _now(self) -> dict[str, float]:
        used = {
            name: sum(_seconds(one) for one in family) for name, family in self._families.items()
        }
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        used["generator"] = children.ru_utime + children.ru_stime
        machine = psutil.cpu_times()
        idle = machine.idle + getattr(machine, "iowait", 0.0)
        guest = getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0)
        used["machine"] = sum(machine) - idle - guest
        return used

    def cores(self) -> dict[str, float]:
        """Cores' worth of time each process took; `others`: everything else on the machine."""
        elapsed = time.perf_counter() - self._started
        after = self._now()
        used = {name: (after[name] - self._before[name]) / elapsed for name in after}
        machine = used.pop("machine")
        used["others"] = max(machine - sum(used.values()), 0.0)
        return used


def service_pids(pid: int) -> dict[str, int]:
    """The parts of this project's service by name; pid: of `web_service.py`."""
    found = {"supervisor": pid}
    for child in psutil.Process(pid).children(recursive=True):
        command = " ".join(child.cmdline())
        if "ops.serving" in command:
            # Several replicas have a number each.
            count = sum(name.startswith("pipeline") for name in found)
            found["pipeline" if not count else f"pipeline {count + 1}"] = child.pid
        elif "gateway.server" in command:
            found["gateway"] = child.pid
    return found


def _family(pid: int, named: set[int]) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *(c for c in parent.children(recursive=True) if c.pid not in named)]


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
