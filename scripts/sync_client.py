"""Makes ``client/rest/face_service.py`` from ``face_service_async.py`` beside it: ``make format``.

With ``--print`` it only prints it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "client" / "rest" / "face_service_async.py"
TARGET = SOURCE.with_name("face_service.py")
RULES = (
    (r"\A", f"# Made from {SOURCE.name} by scripts/{Path(__file__).name}: change that one.\n"),
    (r"\basync (?=def |with )", ""),
    (r"\bawait ", ""),
    (r"\bAsync(?=FaceService|Client)", ""),
    (r"__a(?=enter__|exit__)", "__"),
    (r"\baclose\b", "close"),
    (r"\basyncio(?=\.sleep)|(?<=^import )asyncio", "time"),
    (r"with asyncio", "with threads"),
    (r"for the tasks of one event loop", "safe to use from several threads"),
)


def made() -> str:
    """The synchronous module, formatted."""
    text = SOURCE.read_text()
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(made(), end="")
    else:
        TARGET.write_text(made())
