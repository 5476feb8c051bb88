"""A file beside the logs that says which process the service is, and how it is.

``python -m deploy reload`` finds the service by it and learns what came of a renewal.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from settings.config import Config

NAME = "service.json"
_MOST_BYTES = 4096
_LONGEST_PROBLEM = 500


@dataclass(frozen=True)
class ServiceState:
    """What the parent process has written last.

    pid, started: of the process, and of the kernel's clock when it was started, so that another
    process of that number is not taken for it. renewals: how often it has begun to take over
    changed settings. renewing: whether it is doing so. problem: why the last time ended early, or
    "".
    """

    pid: int
    started: int
    renewals: int = 0
    renewing: bool = False
    problem: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether that process is there."""
        try:
            return start_of(self.pid) == self.started
        except OSError:
            return False


def own_state() -> ServiceState:
    """The state of a service whose parent is this process."""
    return ServiceState(os.getpid(), start_of(os.getpid()))


def start_of(pid: int) -> int:
    """When a process was started, in ticks since the machine was. Raises OSError without one."""
    content = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # proc(5): the name in brackets may hold anything; what follows begins with field 3.
    return int(content.rpartition(")")[2].split()[19])


def state_file(config: Config) -> Path:
    """Where it is."""
    return config.log_dir() / "PipelineServingLogs" / NAME


def write_state(file: Path, state: ServiceState) -> None:
    """Replace the file. Where it cannot be written, the service goes on without."""
    content = asdict(state)
    content["problem"] = state.problem[:_LONGEST_PROBLEM]
    made = file.with_name(f"{NAME}.new")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(json.dumps(content) + "\n", encoding="utf-8")
        os.replace(made, file)


def read_state(file: Path) -> ServiceState | None:
    """What stands in the file; None where there is none, or nothing that can be understood."""
    try:
        with file.open("rb") as opened:
            content = json.loads(opened.read(_MOST_BYTES))
        state = ServiceState(**content)
        # A number that is none raises one of these.
        return replace(state, pid=int(state.pid), started=int(state.started))
    except (OSError, ValueError, TypeError):
        return None


def remove_state(file: Path) -> None:
    """At the end of the service."""
    with contextlib.suppress(OSError):
        file.unlink()
