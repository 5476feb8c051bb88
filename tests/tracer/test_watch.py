"""``python -m tracer --watch`` in a terminal: it follows the file and ends cleanly."""

from __future__ import annotations

import datetime
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support import trace_writer
from tests.support.service import wait_until
from tests.support.trace_writer import op, query, stamped

_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
SHOWN, HIDDEN = b"\x1b[?25h", b"\x1b[?25l"  # the cursor


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> list[str]:
    """An empty block and two busy ones, written now."""
    detection = [op("Detection", 2, 1, 16, 1, 0)] * 10
    intervals = [[], [*detection, query(1, 20)], [*detection, query(2, 20), query(3, 20)]]
    text = trace_writer.write(tmp_path_factory.mktemp("trace"), intervals).read_text()
    text = stamped(text, datetime.datetime.now() - datetime.timedelta(seconds=20))
    lines = text.splitlines(keepends=True)
    starts = [n for n, line in enumerate(lines) if "= TRACER =" in line]
    return ["".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)])]


class Terminal:
    """The watch in a terminal of 100 columns."""

    def __init__(self, path: Path) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tracer", str(path), "--watch"],
            cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env=environment,
        )  # fmt: skip
        os.close(slave)
        self.output = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self.process.poll() is None or select.select([self._master], [], [], 0.2)[0]:
            try:
                if select.select([self._master], [], [], 0.2)[0]:
                    self.output += os.read(self._master, 65536)
            except OSError:  # its other end is closed
                return

    def shows(self, text: str) -> bool:
        return wait_until(lambda: text in _CODES.sub("", self.output.decode(errors="replace")), 30)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        status = self.process.wait(10)
        self._thread.join(5)
        return status


@pytest.fixture
def terminal(tmp_path):
    running = Terminal(tmp_path / "pipeline.tracer")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_waits_for_the_file_follows_it_over_a_rotation_and_ends(
    blocks, terminal, tmp_path, number
):
    path = tmp_path / "pipeline.tracer"
    assert terminal.shows("waiting for")
    path.write_text(blocks[0] + blocks[1])
    assert terminal.shows("1 query, 0.1/s")
    path.rename(f"{path}.1")
    time.sleep(1.5)
    assert terminal.process.poll() is None
    path.write_text(blocks[2])
    assert terminal.shows("2 queries, 0.2/s")
    assert terminal.end(number) == 0
    assert b"Traceback" not in terminal.output
    assert terminal.output.rindex(SHOWN) > terminal.output.rindex(HIDDEN)


def test_into_a_pipe_each_interval_is_printed_once(blocks, tmp_path):
    path = tmp_path / "pipeline.tracer"
    path.write_text(blocks[0] + blocks[1])
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "tracer", str(path), "--watch"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
        reader.start()
        assert wait_until(lambda: any("1 query," in line for line in lines), 30)
        with path.open("a") as file:
            file.write(blocks[2])
        assert wait_until(lambda: any("2 queries," in line for line in lines), 30)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        reader.join(5)
    assert sum("2 queries," in line for line in lines) == 1
