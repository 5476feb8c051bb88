"""Load generators that are not ours: h2load, wrk or hey for HTTP, h2load for gRPC.

All are in Debian. h2load (package nghttp2-client) costs least and writes down every request; it
speaks HTTP/1.1 and, as HTTP/2 with a request in gRPC's framing, gRPC too.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load.figures import Load, latencies_ms, steady_rate
from paddle_fence.messages import METHOD

PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk", "hey": "hey"}
HTTP = tuple(PACKAGES)
_LUA = Path(__file__).with_name("post.lua")
_MICRO = 1e-6


@dataclass(frozen=True)
class Target:
    """Where and what to send.

    url: of HTTP. address: HOST:PORT of gRPC. answer_bytes: of a good answer over gRPC, 0 where
    unknown; refusals are shorter, and h2load counts them as answers.
    """

    url: str
    address: str
    http_body: bytes
    message: bytes
    answer_bytes: int = 0


def available(wanted: str | None = None) -> str:
    """The generator for HTTP. Raises RuntimeError naming the package where none is installed."""
    names = [wanted] if wanted else list(HTTP)
    for name in names:
        if shutil.which(name):
            return name
    raise RuntimeError(f"no load generator: apt install {PACKAGES[names[0]]}")


def http_load(name: str, target: Target, seconds: float, concurrency: int) -> Load:
    """POST as fast as answers come, `concurrency` requests at a time."""
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        body = Path(folder, "body.json")
        body.write_bytes(target.http_body)
        run = {"h2load": _h2load_http, "wrk": _wrk, "hey": _hey}[name]
        return run(target, body, concurrency, seconds)


def grpc_load(target: Target, seconds: float, concurrency: int) -> Load:
    """Calls as fast as answers come, from `concurrency` connections, with h2load."""
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        body = Path(folder, "message.bin")
        body.write_bytes(framed(target.message))
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        url = f"http://{target.address}{METHOD}"
        load, data = _h2load(url, body, concurrency, seconds, headers)
        load.side = "gRPC"
        answered = load.qps > 0
        if answered and target.answer_bytes and data < 0.9 * target.answer_bytes:
            raise RuntimeError(
                f"gRPC answers had {data:.0f} bytes, good ones have {target.answer_bytes}"
            )
        return load


def framed(message: bytes) -> bytes:
    """A message in gRPC's framing: a byte for "not compressed" and four for the length."""
    return b"\0" + struct.pack(">I", len(message)) + message


def _h2load_http(target: Target, body: Path, concurrency: int, seconds: float) -> Load:
    headers = ["--h1", "-H", "content-type: application/json"]
    load, _ = _h2load(target.url, body, concurrency, seconds, headers)
    return load


def _h2load(
    url: str, body: Path, concurrency: int, seconds: float, extra: Sequence[str]
) -> tuple[Load, float]:
    log = body.with_suffix(".log")
    options = [
        f"-c{concurrency}",
        "-m1",
        f"-D{round(seconds * 1000)}ms",
        "-d",
        str(body),
        f"--log-file={log}",
    ]
    said = _run(["h2load", *options, *extra, url])
    return read_h2load(log.read_text(), said, concurrency, seconds)


def read_h2load(log: str, said: str, concurrency: int, seconds: float) -> tuple[Load, float]:
    """Figures from h2load's log; the mean bytes of data in an answer, from its summary."""
    rows = [tuple(map(int, line.split("\t"))) for line in log.splitlines() if line]
    good = [(start * _MICRO, took * _MICRO) for start, status, took in rows if status == 200]
    load = Load("HTTP", concurrency, 0.0, errors=len(rows) - len(good), generator="h2load")
    if not good:
        return load, 0.0
    start = min(begun for begun, _ in good)
    load.qps = steady_rate([begun + took for begun, took in good], start, seconds)
    load.latency_ms = latencies_ms([took for _, took in good])
    (line,) = (line for line in said.splitlines() if line.startswith("traffic:"))
    data = int(line.rpartition("(")[2].partition(")")[0])
    return load, data / len(rows)


def _wrk(target: Target, body: Path, concurrency: int, seconds: float) -> Load:
    options = ["-t1", f"-c{concurrency}", f"-d{max(round(seconds), 1)}s", "--timeout", "60s"]
    said = _run(["wrk", *options, "-s", str(_LUA), target.url, "--", str(body)])
    return read_wrk(said, concurrency)


def read_wrk(said: str, concurrency: int) -> Load:
    """Figures from the line of JSON that `post.lua` writes."""
    (line,) = (line for line in said.splitlines() if line.startswith('{"requests"'))
    figures = json.loads(line)
    errors = int(figures["errors"])
    qps = (figures["requests"] - errors) / (figures["microseconds"] * _MICRO)
    latency = {name: figures[name] / 1e3 for name in ("p50", "p90", "p99", "max")}
    return Load("HTTP", concurrency, qps, latency, errors, "wrk")


def _hey(target: Target, body: Path, concurrency: int, seconds: float) -> Load:
    options = ["-z", f"{seconds:g}s", "-c", str(concurrency), "-m", "POST", "-o", "csv"]
    content = ["-T", "application/json", "-D", str(body)]
    return read_hey(_run(["hey", *options, *content, target.url]), concurrency, seconds)


def read_hey(said: str, concurrency: int, seconds: float) -> Load:
    """Figures from hey's CSV: a row a request, `offset` its start since the run's start."""
    rows = list(csv.DictReader(io.StringIO(said)))
    good = [(float(r["offset"]), float(r["response-time"])) for r in rows if _is_ok(r)]
    qps = steady_rate([begun + took for begun, took in good], 0.0, seconds)
    latency = latencies_ms([took for _, took in good])
    return Load("HTTP", concurrency, qps, latency, len(rows) - len(good), "hey")


def _is_ok(row: dict[str, str]) -> bool:
    return row["status-code"] == "200"


def _run(command: Sequence[str]) -> str:
    """What it writes to its standard output; RuntimeError with its complaint where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout)[-500:]
        raise RuntimeError(f"{command[0]} ended with status {done.returncode}: {said}")
    return done.stdout
