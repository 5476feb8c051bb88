"""A process of the service as its parent sees it: started, ready, alive, silent, away."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.heartbeat import READY

# A child that says nothing for so long has stopped or hangs. Long: a machine may be very busy.
SILENCE_S = 30.0
# One that has not served for so long, whether silent, dying again and again or not coming up, is a
# case for whoever watches the whole service.
WELL_S = 60.0
# One that is being started has so long until it serves.
START_TIMEOUT_S = 300.0
# Seconds before a child that died is started again: at once, then longer each time, and at once
# again for one that has lived for so long.
_FIRST_DELAY_S, _MOST_DELAY_S, _LONG_LIFE_S = 1.0, 60.0, 120.0
# What one look adds to a child's silence at most: when this process or the machine has stood
# still, the child may have as well.
_MOST_A_LOOK_S = 0.5


@dataclass(frozen=True)
class Program:
    """A child: what it is called in messages, its module and arguments."""

    title: str
    module: str
    arguments: tuple[str, ...]


class Child:
    """One process at a time that runs a program.

    process: the newest, None before the first. ready: whether it serves. next_start: of
    time.monotonic, where it waits for being started again.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.next_start: float | None = None
        self.killed = False
        self._pipe: int | None = None
        self._silence = 0.0
        self._unheard = 0.0
        self._looked = 0.0
        self._started = 0.0
        self._deaths = 0

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return self.program.title

    def start(self, environment: Mapping[str, str], files: tuple[int, ...]) -> None:
        """Start a process. files: descriptors that it gets."""
        self._close()
        self._pipe, writing = os.pipe()
        os.set_blocking(self._pipe, False)
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.program.module, *self.program.arguments],
            stdin=subprocess.DEVNULL,
            env={**environment, READY: str(writing)},
            pass_fds=(writing, *files),
            # A Ctrl-C in the terminal must reach only this process, which ends the others
            # after the requests under way.
            start_new_session=True,
        )
        os.close(writing)
        self.ready, self.killed, self.next_start = False, False, None
        self._silence, self._looked = 0.0, time.monotonic()
        self._started = self._looked

    def listen(self) -> None:
        """Hear what it says; to be called several times a second."""
        now = time.monotonic()
        passed = min(now - self._looked, _MOST_A_LOOK_S)
        self._silence += passed
        self._unheard += passed
        self._looked = now
        if self._pipe is None:
            return
        with contextlib.suppress(BlockingIOError):
            while said := os.read(self._pipe, 4096):
                self.ready, self._silence, self._unheard = True, 0.0, 0.0
                if len(said) < 4096:
                    break

    @property
    def is_silent(self) -> bool:
        """Whether it should have said something long ago."""
        return self._silence > (SILENCE_S if self.ready else START_TIMEOUT_S)

    @property
    def is_well(self) -> bool:
        """Whether it has served not long ago; one that was replaced a moment ago is well."""
        return self._unheard < WELL_S

    @property
    def is_gone(self) -> bool:
        """Whether it has no process that runs."""
        return self.process is None or self.process.poll() is not None

    def ended(self) -> int | None:
        """The exit status of a process that has just ended; None otherwise."""
        if self.process is None or self.next_start is not None:
            return None
        return self.process.poll()

    def delay(self) -> float:
        """Count a death, and put the next start off; by how many seconds."""
        now = time.monotonic()
        if now - self._started > _LONG_LIFE_S:
            self._deaths = 0
        self._deaths += 1
        self.ready = False
        seconds = 0.0
        if self._deaths > 1:
            seconds = min(_FIRST_DELAY_S * 2.0 ** (self._deaths - 2), _MOST_DELAY_S)
        self.next_start = now + seconds
        return seconds

    def kill(self) -> None:
        """SIGKILL, which also ends a process that is stopped."""
        if self.process is not None and self.process.poll() is None:
            self.killed = True
            self.process.kill()

    def end(self) -> None:
        """Ask it to end; one that is stopped has to go on for that."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float) -> None:
        """Until it has ended; it is killed after so many seconds."""
        if self.process is None:
            return
        try:
            self.process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
