"""Commands, each in a process of its own that is there within milliseconds: a fork of a server.

`python -m library` and `python -m gateway` take seconds to import what they need; a process that
has it imported does so once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


class Commands:
    """Runs commands with one settings' file, one after the other."""

    def __init__(self, config: Path, environment: dict[str, str]) -> None:
        self._config = config
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes.command_server"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: Any) -> tuple[int, str]:
        """Status and output of ("library" or "gateway", argument, ...)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = [*map(str, arguments), "--config", str(self._config)]
        with self._asking:
            self._process.stdin.write(f"{json.dumps(line)}\n")
            self._process.stdin.flush()
            status, output = json.loads(self._process.stdout.readline())
        assert "Traceback" not in output, (arguments, output)
        return int(status), str(output)

    def done(self, *arguments: Any) -> str:
        """The output of a command that succeeds."""
        status, output = self.run(*arguments)
        assert status == 0, (arguments, output)
        return output

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _serve() -> None:
    import gateway.__main__
    import library.__main__

    mains = {"gateway": gateway.__main__.main, "library": library.__main__.main}
    for line in sys.stdin:
        package, *arguments = json.loads(line)
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                status = None
                try:
                    status = mains[package](arguments)
                except SystemExit as end:
                    status = int(end.code or 0)
                finally:
                    if status is None:
                        traceback.print_exc()
                    sys.stdout.flush()
                    os._exit(1 if status is None else status)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            print(json.dumps([code, output.read()]), flush=True)


if __name__ == "__main__":
    _serve()
