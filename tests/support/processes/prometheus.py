"""A real Prometheus, of the system's packages, with the project's own settings and rules."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from runtime.ports import free_ports
from tests.support.service import ROOT, wait_until

MONITORING = ROOT / "deploy" / "monitoring"


class Prometheus:
    """Watches targets every other second, by `deploy/monitoring/prometheus.yml`.

    targets: HOST:PORT of a gateway by its tenant. What the example reads from files stays; of the
    rules only the times that an alert waits for are shorter, a second each.
    """

    def __init__(self, folder: Path, targets: Mapping[str, str]) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("prometheus, of Debian's package, is not installed")
        port, _ = free_ports()
        self.url = f"http://127.0.0.1:{port}"
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
        (job,) = config["scrape_configs"]
        job["static_configs"] = []
        (folder / "targets").mkdir()
        found = [{"targets": [one], "labels": {"tenant": name}} for name, one in targets.items()]
        (folder / "targets" / "tenants.yml").write_text(yaml.safe_dump(found))
        (folder / "rules").mkdir()
        for file in (MONITORING / "rules").glob("*.yml"):
            text = re.sub(r"for: \d+[mh]", "for: 1s", file.read_text())
            (folder / "rules" / file.name).write_text(text)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [program, f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=self._log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        if not wait_until(self._is_ready, 60):
            self.kill()
            raise RuntimeError((folder / "prometheus.log").read_text())

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> dict[str, float]:
        """The values of an expression now, by their labels; those that are no numbers left out."""
        answer = self._client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        found = {str(one["metric"]): float(one["value"][1]) for one in answer["data"]["result"]}
        return {labels: value for labels, value in found.items() if math.isfinite(value)}

    def rules(self) -> list[dict[str, Any]]:
        """The rules that it has, as they were evaluated last."""
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def firing(self) -> dict[str, list[dict[str, Any]]]:
        """The alerts that fire, by name."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in self._client.get("/api/v1/alerts").json()["data"]["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._client.close()
        self._log.close()
