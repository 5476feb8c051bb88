"""What parent and children tell each other: that a child serves and lives, and who is away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

READY = "FACE_SERVICE_READY"  # the environment's name for the pipe to the parent
NOTICE = "FACE_SERVICE_NOTICE"  # and for the parent's notice
BEAT_S = 1.0
_LOOK_S = 0.02
_NOTICE_BYTES = 512
_STANDING_IN = b"\1"  # behind the line, while the parent answers in the gateway's place


def say_ready(is_well: Callable[[], bool] = lambda: True) -> None:
    """Tell the parent that this process serves, and from now on once a second that it lives.

    To be called in the running event loop, which is what is to live. is_well: where it says
    False the process keeps silent, until its parent replaces it.
    """
    pipe = os.environ.get(READY)
    if pipe is None:
        return
    os.set_blocking(int(pipe), False)
    _beat(int(pipe), is_well)


def _beat(pipe: int, is_well: Callable[[], bool]) -> None:
    try:
        if is_well():
            os.write(pipe, b".")
    except BlockingIOError:
        pass  # the parent has not read for long: it stands still itself
    except OSError:
        return  # it is gone
    asyncio.get_running_loop().call_later(BEAT_S, _beat, pipe, is_well)


class Notice:
    """A line that the parent changes and its children read: who is away, and why."""

    def __init__(self) -> None:
        self.file = os.memfd_create("notice")
        self.write("")

    def write(self, text: str) -> None:
        """Replace the line."""
        data = text.encode()[: _NOTICE_BYTES - 1]
        os.pwrite(self.file, data.ljust(_NOTICE_BYTES, b"\0"), 0)

    def stand_in(self, is_standing_in: bool) -> None:
        """Tell the gateway whether its parent accepts connections in its place."""
        os.pwrite(self.file, _STANDING_IN if is_standing_in else b"\0", _NOTICE_BYTES)


def read_notice() -> str:
    """The line as the parent has it now; empty without a parent, or without anything to tell."""
    file: str | None = os.environ.get(NOTICE)
    if file is None:
        return ""
    return os.pread(int(file), _NOTICE_BYTES, 0).rstrip(b"\0").decode(errors="replace")


async def wait_for_place() -> None:
    """Return once the parent, having heard that this process is ready, stands in for it no more.

    Whoever accepts before that shares the port with the parent: of two connections the second
    might still be told that nobody is there.
    """
    file = os.environ.get(NOTICE)
    while file is not None and os.pread(int(file), 1, _NOTICE_BYTES) == _STANDING_IN:
        await asyncio.sleep(_LOOK_S)
