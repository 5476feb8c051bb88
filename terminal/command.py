"""The end of a command whose reader has gone, or that is interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

READER_GONE = 1
INTERRUPTED = 130


def run_command(main: Callable[[], int]) -> int:
    """The command's exit status; 130 after Ctrl-C, 1 where nobody reads its output any more.

    ``command | head`` closes the pipe as soon as it has its lines: that is no error to be told.
    """
    try:
        try:
            return main()
        finally:  # also where --help has ended it
            sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED
