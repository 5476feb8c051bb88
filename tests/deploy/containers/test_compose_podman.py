"""compose.yml over podman's API: each container is made as it is written, and none is started."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
import yaml

from runtime.process import die_with_parent
from tests.support.deployment import tools
from tests.support.deployment.debian_root import need_root_and
from tests.support.service import ROOT, wait_until

FILE = ROOT / "deploy" / "compose.yml"
SECRETS = ("database_password", "metrics_key", "grafana_password", "tls_certificate", "tls_key")


class Podman:
    """podman with storage of its own, which serves its API at `socket`."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "api"
        self._storage = ["--root", folder / "root", "--runroot", folder / "run",
                         "--storage-driver", "vfs"]  # fmt: skip
        self._engine = ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        (folder / "file").write_text("nothing\n")
        (folder / "Dockerfile").write_text('FROM scratch\nCOPY file /file\nCMD ["/file"]\n')
        self.run(
            "buildah", "bud", "--isolation", "chroot", "--format", "docker", "--tag", "tiny", folder
        )
        command = ["podman", *self._storage, *self._engine, "system", "service", "--time", "0"]
        self._process = subprocess.Popen(
            [*map(str, command), f"unix://{self.socket}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip

    def run(self, program: str, *words: str | Path) -> str:
        """What a program prints; it has to end well."""
        engine = self._engine if program == "podman" else []
        return tools.output([program, *self._storage, *engine, *words])

    def end(self) -> None:
        """The API's process."""
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def podman():
    need_root_and("buildah", "podman", "runc")
    if not (FILE.parent / "monitoring").is_dir():
        pytest.skip("this release has no rules and dashboards, which are mounted")
    tools.compose()
    # Short: sockets lie in there.
    folder = Path(tempfile.mkdtemp(prefix="face-podman-"))
    made = None
    try:
        made = Podman(folder)
        assert wait_until(made.socket.exists, 60)
        yield made
    finally:
        if made is not None:
            made.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_podman_takes_every_service_of_the_file_as_it_is_written(podman, tmp_path, monkeypatch):
    written = yaml.safe_load(FILE.read_text())["services"]
    # A stand-in for every image: nothing is started.
    for name, service in written.items():
        podman.run("podman", "tag", "tiny", f"localhost/stand-in/{name}:1")
        variable = service["image"].removeprefix("${").partition(":-")[0]
        monkeypatch.setenv(variable, f"localhost/stand-in/{name}:1")
    for name in SECRETS:
        (tmp_path / name).write_text("secret\n")
    monkeypatch.setenv("FACE_SECRETS", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{podman.socket}")
    project = f"face-{uuid.uuid4().hex[:8]}"
    compose = [tools.compose(), "--file", FILE, "--project-name", project, "--profile", "*"]
    try:
        tools.output([*compose, "create", "--pull", "never", "--no-build"])
        for name, service in written.items():
            (made,) = json.loads(podman.run("podman", "inspect", f"{project}-{name}-1"))
            host = made["HostConfig"]
            assert made["State"]["Status"] in ("created", "configured")
            assert host["PidsLimit"] == service["pids_limit"]
            assert 0 < host["Memory"] == host["MemorySwap"]
            assert host["ReadonlyRootfs"] is service.get("read_only", False)
            assert made["Config"]["Healthcheck"]["Test"][0] == "CMD"
            secrets = {mount["Destination"] for mount in made["Mounts"]}
            assert {f"/run/secrets/{one}" for one in service.get("secrets", ())} <= secrets
    finally:
        tools.output([*compose, "down", "--volumes"])
