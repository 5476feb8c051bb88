"""A gateway in a process of its own beside a service whose pipeline it asks: it starts quickly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import httpx
import yaml

from bench.service import free_ports
from tests.service import ROOT, Service, wait_until

START_S = 60.0


class LoneGateway:
    """`python -m gateway.server` with a library in a folder; to be started, killed, and so on.

    environment: beside this process's own. gateway, library: settings that differ.
    """

    def __init__(
        self,
        folder: Path,
        service: Service,
        environment: Optional[dict[str, str]] = None,
        gateway: Optional[dict[str, Any]] = None,
        library: Optional[dict[str, Any]] = None,
    ) -> None:
        settings = yaml.safe_load(service.config.read_text())
        self.port, _ = free_ports()
        settings["gateway"].update(port=self.port, pipelines=[f"127.0.0.1:{service.rpc_port}"])
        settings["gateway"].update(gateway or {})
        settings["library"].update({"database": "sqlite:///faces.db", **(library or {})})
        settings["log"]["dir"] = str(folder)
        self.folder = folder
        self.config = folder / "config.yml"
        self.config.write_text(yaml.safe_dump(settings))
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self._process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> None:
        """Start it, and wait until it says that all is well."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.server", str(self.config)],
            env=self._environment,
            cwd=self.folder,
        )
        assert wait_until(lambda: self.health()[0] == 200, START_S), self.health()

    def health(self) -> tuple[int, list[str]]:
        """Status and reasons of /health; 0 where nobody listens."""
        try:
            answer = httpx.get(f"{self.url}/health", timeout=20, trust_env=False)
        except httpx.TransportError:
            return 0, []
        return answer.status_code, answer.json()["reasons"]

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
