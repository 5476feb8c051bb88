"""What the clients of a run saw, and how the service's processes and memory did meanwhile."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psutil

from bench.attacks.clients import TIMEOUT_S, Seen, Target
from bench.memory import total_pss, usage_of
from runtime.tethered_child import PIPE, end_child, pipes_of, start_child

_LOOK_S = 0.25


class Clients:
    """The process of the clients; use it in a `with` block."""

    def __init__(self, target: Target, clients: int) -> None:
        self._process = start_child(["bench.attacks.clients"], stdin=PIPE, stdout=PIPE)
        stdin, self._stdout = pipes_of(self._process)
        self._seen: list[Seen] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        stdin.write(json.dumps({"target": asdict(target), "clients": clients}) + "\n")
        stdin.flush()

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._thread.join()
        end_child(self._process)

    def answered(self) -> int:
        """How many requests have been answered so far. Raises RuntimeError where they ended."""
        if self._process.poll() is not None:
            raise RuntimeError("the clients ended by themselves")
        return len(self._seen)

    def between(self, start: float, end: float) -> list[Seen]:
        """Requests that were under way between two moments of time.monotonic.

        Waits for those that had not been answered at the end.
        """
        give_up = time.monotonic() + TIMEOUT_S + 1.0
        # An answer that comes now may have been asked for before the end; later ones not.
        while time.monotonic() < give_up:
            kinds = {seen.kind for seen in self._seen}
            newest = [max(s.began for s in self._seen if s.kind == kind) for kind in kinds]
            if self.answered() and all(began > end for began in newest):
                break
            time.sleep(_LOOK_S)
        return [one for one in list(self._seen) if one.began < end and one.began + one.took > start]

    def _read(self) -> None:
        for line in self._stdout:
            self._seen.append(Seen(**json.loads(line)))


class Memory:
    """Looks at the memory of all processes of a service until the block is left.

    peak: the most that was seen, in bytes (the sum of PSS).
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = held_by(pid)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.peak = max(self.peak, held_by(self._pid))


def held_by(pid: int) -> int:
    """Bytes that a service takes from the machine: the sum of PSS of all its processes."""
    return total_pss(usage_of(pid))


def processes_of(pid: int) -> set[int]:
    """The service and its children; not theirs, which may come and go."""
    return {pid, *(child.pid for child in psutil.Process(pid).children())}


@dataclass
class Phase:
    """What was seen while an attack went on; `name` is "quiet" where there was none.

    latest, p99: milliseconds by kind of client. problems: by text. sent: runs of the attack.
    held: bytes before, at the peak and afterwards; back_s: until they were back, None for never.
    """

    name: str
    answers: int = 0
    p99: dict[str, float] = field(default_factory=dict)
    latest: dict[str, float] = field(default_factory=dict)
    problems: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    held: tuple[int, int, int] = (0, 0, 0)
    back_s: float | None = 0.0
    deaths: int = 0

    def note(self, seen: Iterable[Seen]) -> None:
        """What the clients saw."""
        took: defaultdict[str, list[float]] = defaultdict(list)
        problems: Counter[str] = Counter()
        for one in seen:
            if one.problem:
                problems[f"{one.kind} {one.problem}"] += 1
            took[one.kind].append(one.took * 1e3)
        self.answers = sum(map(len, took.values()))
        self.p99 = {kind: float(np.percentile(times, 99)) for kind, times in took.items()}
        self.latest = {kind: max(times) for kind, times in took.items()}
        self.problems = dict(problems)

    def complaints(self, quiet: Phase, allowed_s: float) -> list[str]:
        """Why the service did not hold; empty where it did. allowed_s: beyond the quiet p99."""
        said = [f"{count} x {problem}" for problem, count in self.problems.items()]
        for kind, latest in self.latest.items():
            late = (latest - quiet.p99.get(kind, 0.0)) / 1e3
            if late > allowed_s:
                said.append(f"{kind}: an answer {late:.1f} s later than the quiet p99")
        said += [f"{kind}: no answer" for kind in quiet.p99 if kind not in self.latest]
        if self.deaths:
            said.append(f"{self.deaths} processes died")
        if self.back_s is None:
            said.append(f"memory {self.held[2] / self.held[0]:.2f} times what it was before")
        return said

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return asdict(self)
