"""The HTTP side: Paddle Serving's gateway, a Go library that turns JSON into gRPC.

It imports nothing of Paddle: the process stays small, and only the library's threads run.
"""

from __future__ import annotations

import ctypes
import importlib.util
import signal
import sys
from pathlib import Path

from ops.process import die_with_parent


def library() -> Path:
    """Where the installed package keeps the gateway."""
    spec = importlib.util.find_spec("paddle_serving_server")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("paddle_serving_server is not installed")
    return Path(spec.origin).parent / "pipeline" / "gateway" / "libproxy_server.so"


def main(argv: list[str]) -> int:
    """Serve HTTP on argv[1] for the gRPC server on argv[0]; returns only on failure."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(str(library())).run_proxy_server(int(argv[0]), int(argv[1]))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
