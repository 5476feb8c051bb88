"""The console of a command."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console

# A pipe or a file has no width. So much shows the widest tables in one piece.
PIPED_WIDTH = 200


def open_console(stderr: bool = False, **settings: Any) -> Console:
    """Standard output, or standard error; a pipe or a file is `PIPED_WIDTH` wide.

    COLUMNS in the environment says otherwise. settings: rich's. Figures are not coloured one by
    one, unless `highlight` is asked for.
    """
    console = Console(stderr=stderr, **{"highlight": False, **settings})
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = PIPED_WIDTH
    return console
