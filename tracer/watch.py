"""``--watch``: the tables, drawn again as the file grows, until Ctrl-C."""

from __future__ import annotations

import datetime
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tracer import trace_files
from tracer.setup import Setup
from tracer.source import NothingFoundError, Range, Reading, course, read
from tracer.terminal_view import TREND, live_view

REFRESH_S = 1.0
LATE = 3.0  # intervals without a new block, after which the service may have stopped


class Watch:
    """What is on the screen. Reads the files again when one of them has changed."""

    def __init__(self, paths: Sequence[Path], wanted: Range, setup: Setup, busy: bool) -> None:
        self._paths, self._wanted, self._setup, self._busy = paths, wanted, setup, busy
        self._signatures: list[tuple[int, ...] | None] | None = None
        self._reading: Reading | None = None
        self._problem = ""

    def look(self) -> bool:
        """Reads what is new; whether there was anything."""
        signatures = [trace_files.signature(path) for path in self._paths]
        if signatures == self._signatures:
            return False
        self._signatures = signatures
        before = self._reading
        try:
            self._reading = read(
                trace_files.existing(self._paths), self._wanted, self._setup, self._busy
            )
            self._problem = ""
        except NothingFoundError as error:
            self._problem = str(error)
        except OSError as error:
            # Not there yet, or being rotated: what was read before stays on the screen.
            self._problem = f"waiting for {error.filename or error}"
        return self._reading is not None and (
            before is None or before.last.end != self._reading.last.end
        )

    def view(self) -> RenderableType:
        """The screen's content."""
        if self._reading is None:
            return Text(f"{self._problem} (has the service been started?)", style="yellow")
        reading = self._reading
        points = course(reading, self._setup, TREND)
        return Group(self._age(reading), live_view(reading, self._setup, points))

    def _age(self, reading: Reading) -> Text:
        age = (datetime.datetime.now() - reading.last.end).total_seconds()
        late = age > LATE * (reading.last.seconds or self._setup.interval_s or 10.0)
        if late:
            why = self._problem or "has the service stopped?"
            return Text(f"No new interval for {age:.0f} s: {why}", style="yellow")
        return Text(f"{_names(self._paths)}, {age:.0f} s ago. Ctrl-C ends.", style="dim")


def watch(paths: Sequence[Path], wanted: Range, setup: Setup, busy: bool, console: Console) -> None:
    """Shows the files' state until SIGINT or SIGTERM.

    On a terminal in a screen of its own, drawn again every second; else each new interval is
    printed below the one before.
    """
    screen = Watch(paths, wanted, setup, busy)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        if console.is_terminal:
            _draw(screen, console)
        else:
            _print(screen, console)
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


def _draw(screen: Watch, console: Console) -> None:
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            screen.look()
            live.update(screen.view(), refresh=True)
            time.sleep(REFRESH_S)


def _print(screen: Watch, console: Console) -> None:
    while True:
        if screen.look():
            console.print(screen.view())
        time.sleep(REFRESH_S)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)
