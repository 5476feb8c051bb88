"""Free memory goes back to the system: glibc keeps what lies below anything still in use."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes

# After large requests: seconds until it is done, once for all of that time.
SOON_S = 5.0


class FreeMemory:
    """For one event loop, which it does not hold up."""

    def __init__(self) -> None:
        self._is_due = False

    def give_back_soon(self) -> None:
        """Have it done in SOON_S."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(SOON_S, self._give_back)

    def _give_back(self) -> None:
        self._is_due = False
        asyncio.get_running_loop().run_in_executor(None, give_back)


def give_back() -> None:
    """Returns after milliseconds; other libraries than glibc do it by themselves."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
