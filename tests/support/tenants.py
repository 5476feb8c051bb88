"""Tenant files and running tenants, for tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from deploy.tenants.processes.state import State, holder, read_state
from deploy.tenants.tenant_file import TenantFile, load_tenants
from runtime.ports import unused_ports

ROOT = Path(__file__).resolve().parents[2]
COMMAND_S = 400


def entry(name: str, ports: Sequence[int] = (9101, 9102, 9103), **more: Any) -> dict[str, Any]:
    """A tenant of a file."""
    keys = ("pipeline_http", "pipeline_rpc", "gateway")
    return {"name": name, "memory": "2GiB", "ports": dict(zip(keys, ports)), **more}


def write_tenants(folder: Path, entries: Sequence[dict[str, Any]], **more: Any) -> Path:
    """The file in a folder. more: of the whole file."""
    path = folder / "tenants.yml"
    path.write_text(yaml.safe_dump({**more, "tenants": list(entries)}, sort_keys=False))
    return path


def _write_settings(folder: Path) -> None:
    """The repository's, with the stages that tests of tenants need."""
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["models_dir"] = str(ROOT / "models")
    for stage in ("Attributes", "Liveness"):
        del settings["op"][stage]
    settings["op"]["Response"]["inputs"] = ["ArcFace"]
    (folder / "base.yml").write_text(yaml.safe_dump(settings, sort_keys=False))


class Tenants:
    """Tenants of a file; at the end all of them are gone. root: of the project that runs them."""

    def __init__(self, path: Path, root: Path = ROOT) -> None:
        self.path = path
        self.folder = path.parent
        self._root = root

    @classmethod
    def made(cls, folder: Path, names: Sequence[str], **more: Any) -> Tenants:
        """Of a folder of their own, on free ports.

        more: of each tenant, by its name with underscores, beside its name and ports.
        """
        _write_settings(folder)
        ports = iter(unused_ports(3 * len(names)))
        entries = [
            entry(name, [next(ports) for _ in range(3)], **more.get(name.replace("-", "_"), {}))
            for name in names
        ]
        return cls(write_tenants(folder, entries, config="base.yml"))

    def write(self, **top: Any) -> None:
        """The tenant file, with further keys at its top."""
        self._rewrite({**self._raw(), **top})

    def change(self, name: str, **values: Any) -> None:
        """Change a tenant in the file."""
        raw = self._raw()
        (one,) = (one for one in raw["tenants"] if one["name"] == name)
        one.update(values)
        self._rewrite(raw)

    def _raw(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.path.read_text()))

    def _rewrite(self, raw: dict[str, Any]) -> None:
        self.path.write_text(yaml.safe_dump(raw, sort_keys=False))

    @property
    def names(self) -> list[str]:
        """The tenants' names, none before there is a file."""
        return [one["name"] for one in self._raw()["tenants"]] if self.path.exists() else []

    @property
    def file(self) -> TenantFile:
        """As it is loaded."""
        return load_tenants(self.path)

    def run(self, order: str, *arguments: str) -> tuple[int, str]:
        """Exit status and output of a command."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy", "tenants", order, "--tenants", str(self.path),
             *arguments],
            cwd=self._root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=COMMAND_S,
        )  # fmt: skip
        return done.returncode, done.stdout

    def done(self, order: str, *arguments: str) -> str:
        """The output of a command that succeeds."""
        status, output = self.run(order, *arguments)
        assert status == 0, output + self.said()
        return output

    def said(self) -> str:
        """What keepers and services have said."""
        files = [*self.folder.glob("tenants/run/*/keeper.log"), *self.folder.glob("**/service.log")]
        return "\n".join(f"{file}:\n{file.read_text()}" for file in files)

    def state(self, name: str) -> State:
        return read_state(self.file.run / name)

    def keeper(self, name: str) -> int | None:
        return holder(self.file.run / name)

    def processes(self, name: str) -> list[psutil.Process]:
        """A tenant's keeper and all that it has started."""
        keeper = self.keeper(name)
        if not keeper:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(keeper)
            return [parent, *parent.children(recursive=True)]
        return []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.file.tenant(name).ports.gateway}"

    def key(self, name: str) -> str:
        return self.file.tenant(name).keys.read_text().strip()

    def ask(self, name: str, path: str, key: str = "", **values: Any) -> dict[str, Any]:
        """The gateway's answer, with the tenant's own key unless another one is given."""
        answer = httpx.post(
            f"{self.url(name)}/face-api/v3/{path}",
            json={"appid": "staff", **values},
            headers={"X-Api-Key": key or self.key(name)},
            timeout=60,
        )
        return dict(answer.json())

    def kill_everything(self) -> None:
        """SIGKILL to every process of every tenant, keepers first, so that nobody restarts one."""
        everything = [one for name in self.names for one in self.processes(name)]
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(everything, timeout=30)

    def close(self) -> None:
        self.kill_everything()
        for name in self.names:
            for folder in Path("/sys/fs/cgroup").glob(f"*/face-tenants/{name}-*"):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
