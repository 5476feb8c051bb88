"""What is told of a tenant's keeper in files: who it is, and how the tenant is."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.errors import DeployError

# Of the file that `runtime.data_lock.DataLock` puts its lock beside.
LOCKED = "keeper"
_STATE = "state.json"

STARTING, READY, WAITING, FAILED, DOWN, KILLED = (
    "starting", "ready", "waiting", "failed", "down", "killed"
)  # fmt: skip


@dataclass
class State:
    """A tenant as its keeper sees it.

    state: starting, ready, waiting (to be started again), failed (it cannot be started), down,
    killed (its keeper was). pid: of the service's parent process, 0 for none. restarts: since the
    keeper began, and reason: of the last. since: seconds since 1970. memory: bytes in use. cpu:
    cores' worth of time of late. limits: what holds it to its memory. keeper: who wrote it.
    """

    state: str = DOWN
    pid: int = 0
    restarts: int = 0
    reason: str = ""
    since: float = 0.0
    memory: int = 0
    cpu: float = 0.0
    limits: str = ""
    keeper: int = 0


def write_state(folder: Path, state: State) -> None:
    """Replace the file as a whole, as this process's."""
    state.keeper = os.getpid()
    fresh = folder / f".{_STATE}.new"
    fresh.write_text(json.dumps(asdict(state)) + "\n", encoding="ascii")
    os.replace(fresh, folder / _STATE)


def read_state(folder: Path) -> State:
    """The state that was written last; down without one, killed where the keeper is gone."""
    keeper = holder(folder)
    try:
        content = json.loads((folder / _STATE).read_text(encoding="ascii"))
        state = State(**content)
    except (OSError, ValueError, TypeError):
        return State(STARTING if keeper else DOWN)
    if keeper is not None and keeper != state.keeper:
        return State(STARTING)  # it has told nothing yet
    if keeper is None and state.state not in (DOWN, FAILED):
        state.state, state.pid, state.memory, state.cpu = KILLED, 0, 0, 0.0
    return state


def holder(folder: Path) -> int | None:
    """The process that keeps the tenant of this folder now; None for nobody.

    Raises DeployError where this user may not know.
    """
    try:
        descriptor = os.open(folder / f"{LOCKED}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeployError(
            f"{folder}: {error.strerror}; ask as the user that runs the tenants"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            # It is written right after the lock is taken.
            return int(text) if text.isdigit() else 0
        return None
    finally:
        os.close(descriptor)
