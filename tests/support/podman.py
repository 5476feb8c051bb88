"""Containers of podman with storage of their own, gone with the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest


class Booted:
    """A system that podman has booted from a folder, with systemd as its first process."""

    def __init__(self, root: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can boot a system in a container")
        for program in ("podman", "runc"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        # Podman takes no longer path than 50 characters.
        self._storage = Path(tempfile.mkdtemp(prefix="podman-", dir="/tmp"))
        storage = self._storage
        self._podman = [
            "podman", "--storage-driver", "vfs", "--root", str(storage / "root"),
            "--runroot", str(storage / "run"), "--cgroup-manager", "cgroupfs", "--runtime", "runc",
        ]  # fmt: skip
        self._name = f"face-{uuid.uuid4().hex[:12]}"
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]
        words = ["run", "--detach", "--name", self._name, "--systemd=always", "--network", "none"]
        done = self._run(
            *words,
            "--cap-add",
            "SYS_ADMIN,SYS_PTRACE",
            *limits,
            "--rootfs",
            str(root),
            "/lib/systemd/systemd",
        )
        if done.returncode:
            self.remove()
            pytest.skip(f"podman boots no system here: {done.stderr[-300:]}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it as root."""
        return self._run("exec", self._name, *command)

    def remove(self) -> None:
        """Take it away, with all that podman has kept of it."""
        self._run("rm", "--force", "--time", "5", self._name)
        shutil.rmtree(self._storage, ignore_errors=True)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._podman, *words], capture_output=True, text=True, timeout=600)
