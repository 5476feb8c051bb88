"""Starts programs that are there at once: ``python -m bench.kills.processes.nursery``.

Most of a short command's time, and of a gateway's start, goes to importing. This process has done
it, and each program is a fork of it that calls the program's ``main``: what is killed is as alone
with its database as any other process, and a kill costs a tenth.

It reads lines of JSON from standard input: ``{"start": N, "module", "arguments", "environment",
"out", "errors"}`` or ``{"kill": N}``, and writes ``{"started": N, "pid"}``, ``{"ready": N}`` where
the program says that it serves, and ``{"ended": N, "status"}``, negative for a signal. It ends, and
all programs with it, when its parent does or its input is closed.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import sys
from typing import Any

from runtime.heartbeat import READY
from runtime.process import PARENT, die_with_parent
from runtime.tethered_child import ROOT

# With main(argv) -> status, each.
GATEWAY, KEYS, LIBRARY = "gateway.server", "gateway.__main__", "library.__main__"
# What they import later.
_LATER = ("uvicorn", "uvloop", "psycopg", "sqlalchemy.dialects.postgresql.psycopg", "faiss")


class Nursery:
    """The programs that run. For one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._pids: dict[int, int] = {}
        self._rest = b""
        reading, self._wakeup = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(reading, selectors.EVENT_READ, "child")
        self._selector.register(0, selectors.EVENT_READ, "input")

    def serve(self) -> None:
        """Until standard input is closed."""
        while True:
            for key, _ in self._selector.select():
                if key.data == "input":
                    if not self._read():
                        return
                elif key.data == "child":
                    os.read(key.fd, 4096)
                    self._reap()
                else:
                    self._selector.unregister(key.fd)
                    if os.read(key.fd, 16):
                        _say(ready=key.data)
                    os.close(key.fd)

    def _read(self) -> bool:
        data = os.read(0, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            asked = json.loads(line)
            if "kill" in asked:
                pid = self._pids.get(asked["kill"])
                if pid is not None:  # only what has not been waited for: the id is still its own
                    os.kill(pid, asked.get("signal", signal.SIGKILL))
            else:
                self._start(asked)
        return bool(data)

    def _start(self, asked: dict[str, Any]) -> None:
        number = asked["start"]
        reading, writing = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._selector.close()
            os.environ[PARENT] = str(parent)
            os.environ[READY] = str(writing)
            _become(asked)
        os.close(writing)
        self._pids[number] = pid
        self._selector.register(reading, selectors.EVENT_READ, number)
        _say(started=number, pid=pid)

    def _reap(self) -> None:
        for number, pid in list(self._pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._pids[number]
                _say(ended=number, status=_status(status))


def _become(asked: dict[str, Any]) -> None:
    """Be the program from here to its end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        die_with_parent()
        os.environ.update(asked["environment"])
        for descriptor, name in ((1, "out"), (2, "errors")):
            file = os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(file, descriptor)
            os.close(file)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        status = importlib.import_module(asked["module"]).main(asked["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - what a program of its own would end with
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        # Nothing of the parent's is to be tidied up here.
        os._exit(status)


def _status(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _say(**said: int) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


def main() -> None:
    """Serve. The working folder is the project's."""
    die_with_parent()
    os.chdir(ROOT)
    for module in (GATEWAY, KEYS, LIBRARY, *_LATER):
        importlib.import_module(module)
    _say(ready=0)
    Nursery().serve()


if __name__ == "__main__":
    main()
