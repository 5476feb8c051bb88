"""Three tenants started on this machine by the product's own command, and one killed at times."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runtime.ports import unused_ports
from runtime.process import child_environment

ROOT = Path(__file__).resolve().parents[2]
PRESSED, KILLED, MEASURED = NAMES = ("pressed", "killed", "measured")
_MEMORY = "3GiB"


@dataclass(frozen=True)
class Cores:
    """Which cores do what. measured: of the tenant that is measured. others: of the other two.

    client: of who measures; the measured tenant's own where there are fewer than four.
    """

    measured: int
    others: tuple[int, ...]
    client: int


def cores_here() -> Cores | None:
    """What this machine's cores do; None where there is one only."""
    *rest, last = sorted(os.sched_getaffinity(0))
    if not rest:
        return None
    if len(rest) < 3:
        return Cores(last, tuple(rest), last)
    return Cores(last, tuple(rest[:-1]), rest[-1])


class Tenants:
    """The tenants of a file in a folder."""

    def __init__(self, folder: Path, config: Path, cores: Cores) -> None:
        self._file = folder / "tenants.yml"
        self._run = folder / "tenants" / "run"
        ports = unused_ports(3 * len(NAMES))
        entries = []
        for number, name in enumerate(NAMES):
            http, rpc, self_port = ports[3 * number : 3 * number + 3]
            own: dict[str, Any] = {"cores": str(cores.measured)}
            if name != MEASURED:
                own = {"cores": ",".join(map(str, cores.others)), "shared_cores": True}
            places = {"pipeline_http": http, "pipeline_rpc": rpc, "gateway": self_port}
            entries.append({"name": name, "memory": _MEMORY, "ports": places, **own})
        self._ports = {entry["name"]: entry["ports"]["gateway"] for entry in entries}
        document = {"config": str(config.resolve()), "tenants": entries}
        self._file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def url(self, name: str) -> str:
        """Of a tenant's gateway."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def key_file(self, name: str) -> Path:
        """The file with its key."""
        return self._file.parent / "tenants" / name / "admin.key"

    def pid(self, name: str) -> int:
        """Of its service; 0 while there is none."""
        with contextlib.suppress(OSError, ValueError):
            return int(json.loads((self._run / name / "state.json").read_text())["pid"])
        return 0

    def order(self, *words: str) -> None:
        """``python -m deploy tenants ...``. Raises RuntimeError with what it says if it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy", "tenants", *words, "--tenants", str(self._file)],
            cwd=ROOT, env=child_environment(), capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr).strip())

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """All of them serve within the block, and are ended after it."""
        try:
            self.order("up")
            yield
        finally:
            with contextlib.suppress(RuntimeError):
                self.order("down")


class Killer:
    """Kills a tenant's service with SIGKILL every so many seconds, until it is stopped."""

    def __init__(self, tenants: Tenants, name: str, seconds: float) -> None:
        self.kills = 0
        self._tenants, self._name, self._seconds = tenants, name, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Kill nothing any more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            pid = self._tenants.pid(self._name)
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1


def listed(cores: Sequence[int]) -> str:
    """Cores in words."""
    return ("core " if len(cores) == 1 else "cores ") + ", ".join(map(str, cores))
