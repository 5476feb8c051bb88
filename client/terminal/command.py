"""Commands and services whose reader goes away: ``| head`` closes the pipe when it has enough."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

READER_GONE = 1
INTERRUPTED = 130


def run_command(main: Callable[[], int]) -> int:
    """The command's exit status; 130 after Ctrl-C, 1 where nobody reads its output any more.

    That is no error to be told, so it ends without a word.
    """
    try:
        try:
            return main()
        finally:  # also where --help has ended it
            sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and would complain.
        _to_nowhere(sys.stdout)
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED


def outlive_readers() -> None:
    """For a service: it goes on where nobody reads its output or its complaints any more."""
    stdout: Any = _Unread(sys.stdout)
    stderr: Any = _Unread(sys.stderr)
    sys.stdout, sys.stderr = stdout, stderr


class _Unread:
    """A stream that takes what is written also when its pipe has been closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            _to_nowhere(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            _to_nowhere(self._stream)


def _to_nowhere(stream: TextIO) -> None:
    """What is still in its buffer, and all that follows, is thrown away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
