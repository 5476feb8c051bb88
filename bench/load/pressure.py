"""Calls over gRPC at a fixed rate, whether answers come or not, with h2load.

A generator that costs a fifth of a core takes that much from a service on the same two cores;
h2load costs a twentieth. It does not read gRPC's status, but a refusal has no data and a good
answer has, so that the bytes that came tell how many were good.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.load.generators import framed
from paddle_fence.messages import METHOD

_CONNECTIONS = 8
_STREAMS = 100  # calls under way on a connection; more would be more than a service takes in
_FRAME = 5  # bytes of gRPC before a message


@dataclass(frozen=True)
class Pressed:
    """requests: that were answered in any way. good: answers with content."""

    requests: int
    good: float


def can_press() -> bool:
    """Whether h2load is installed."""
    return shutil.which("h2load") is not None


def press(address: str, message: bytes, answer_bytes: int, rate: float, seconds: float) -> Pressed:
    """Send at `rate` requests a second for `seconds`.

    answer_bytes: of a good answer. Raises RuntimeError where h2load fails.
    """
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        body = Path(folder, "message.bin")
        body.write_bytes(framed(message))
        command = [
            "h2load",
            f"-c{_CONNECTIONS}",
            f"-m{_STREAMS}",
            f"--rps={rate / _CONNECTIONS:.3f}",
            f"-D{round(seconds * 1000)}ms",
            "-d",
            str(body),
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            f"http://{address}{METHOD}",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout)[-500:]
        raise RuntimeError(f"h2load ended with status {done.returncode}: {said}")
    return read(done.stdout, answer_bytes)


def read(said: str, answer_bytes: int) -> Pressed:
    """Figures from h2load's summary."""
    requests = re.search(r"^requests: .* (\d+) done", said, re.MULTILINE)
    data = re.search(r"^traffic: .*\((\d+)\) data$", said, re.MULTILINE)
    if requests is None or data is None:
        raise RuntimeError(f"h2load said: {said[-500:]}")
    return Pressed(int(requests[1]), int(data[1]) / (answer_bytes + _FRAME))
