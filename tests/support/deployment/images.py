"""Images and containers for tests: Debian's buildah and podman, with storage of their own.

As root, without an engine and without a registry: debootstrap makes what the base image is
elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.deployment.debian_root import make_debian, need_root_and
from tests.support.service import ROOT

BASE = "debian:bookworm-slim"
_PROGRAMS = ("buildah", "podman", "runc", "debootstrap")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# A build's storage copies its files for every stage (vfs).
_FREE_BYTES = 16 << 30
_UNREACHABLE = ("Could not resolve", "Temporary failure", "Connection refused", "unreachable")
# What Debian's own slim images are without.
_NOT_SLIM = (
    "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "var/cache/apt",
    "var/lib/apt/lists", "var/log", "tmp",
)  # fmt: skip
# More than a container may have here by itself.
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


def need_programs() -> None:
    """Skip where images cannot be built or run."""
    need_root_and(*_PROGRAMS)
    if shutil.disk_usage(tempfile.gettempdir()).free < _FREE_BYTES:
        pytest.skip("less than 16 GiB free for images")


class Engine:
    """Storage for images and containers, gone with `remove`."""

    def __init__(self) -> None:
        need_programs()
        # Short: sockets lie in there.
        self.folder = Path(tempfile.mkdtemp(prefix="face-images-"))
        self._storage = ["--root", self.folder / "root", "--runroot", self.folder / "run",
                         "--storage-driver", "vfs"]  # fmt: skip

    def build(
        self, file: Path, context: Path, tag: str, options: Sequence[str], **arguments: str
    ) -> None:
        """Build an image. arguments: of the build. Skips where packages cannot be reached."""
        settings = self.folder / "pip.conf"
        settings.write_text(_pip_settings())
        words = [
            word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")
        ]
        done = self._run(
            "buildah", "bud", "--isolation", "chroot", "--format", "docker", "--secret",
            f"id=pip,src={settings}", "--volume", f"{_CERTIFICATES}:/etc/ssl/certs/host.crt:ro",
            "--file", file, "--tag", tag, *words, *options, context,
            seconds=3600,
        )  # fmt: skip
        if done.returncode and any(sign in done.stderr + done.stdout for sign in _UNREACHABLE):
            pytest.skip(f"a build needs packages: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    def make_base(self) -> None:
        """The base image, from debootstrap; skips where that reaches no packages."""
        folder = self.folder / "base"
        folder.mkdir()
        make_debian(folder / "root")
        for name in _NOT_SLIM:
            shutil.rmtree(folder / "root" / name)
            (folder / "root" / name).mkdir()
        (folder / "root" / "tmp").chmod(0o1777)
        for file in (folder / "root" / "usr/share/doc").rglob("*"):
            if file.is_file() and file.name != "copyright":
                file.unlink()
        subprocess.run(["tar", "-C", folder / "root", "-cf", folder / "root.tar", "."], check=True)
        shutil.rmtree(folder / "root")
        (folder / "Dockerfile").write_text('FROM scratch\nADD root.tar /\nCMD ["bash"]\n')
        done = self._run("buildah", "bud", "--isolation", "chroot", "--tag", BASE, folder)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(folder)

    def podman(self, *words: str | Path, text: str = "", status: int = 0) -> str:
        """What podman prints; it has to end with this status. text: its standard input."""
        done = self._run("podman", *words, text=text)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def run(self, name: str, image: str, *options: str | Path, command: Sequence[str] = ()) -> None:
        """Start a container as an operator would: it reads only, and may nothing.

        On the machine's own network, which takes no rights to make.
        """
        self.podman(
            "run", "--detach", "--name", name, "--network", "host", "--read-only", "--cap-drop",
            "all", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp:size=64m,mode=1777",
            *_LIMITS, *options, image, *command,
        )  # fmt: skip

    def python(self, image: str, code: str) -> str:
        """What a line of Python prints in a new container of an image."""
        return self.podman(
            "run",
            "--rm",
            "--network",
            "none",
            *_LIMITS,
            "--entrypoint",
            "python",
            image,
            "-c",
            code,
        )

    def remove(self) -> None:
        """Everything: containers, volumes, images, the storage itself."""
        self._run("podman", "rm", "--all", "--force", "--time", "5", "--volumes")
        # Images and volumes are folders in there, and nothing else knows of them.
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(
        self, program: str, *words: str | Path, text: str = "", seconds: float = 900
    ) -> subprocess.CompletedProcess[str]:
        command = [program, *map(str, self._storage)]
        if program == "podman":
            # crun has no memory limits where cgroups are of both versions.
            command += ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        # In a folder of its own: podman's monitor notes a kill for memory where it was started.
        return subprocess.run(
            [*command, *map(str, words)],
            input=text, capture_output=True, text=True, timeout=seconds, check=False,
            cwd=self.folder,
        )  # fmt: skip


class Container:
    """A container that runs, by its name."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def run(self, *words: str, text: str = "", status: int = 0) -> str:
        """What a program prints in it; it has to end with this status."""
        return self._engine.podman(
            "exec", "--interactive", self.name, *words, text=text, status=status
        )

    def try_to_run(self, *words: str, text: str = "") -> None:
        """Run a program in it, however that ends."""
        self._engine._run("podman", "exec", "--interactive", self.name, *words, text=text)

    def is_healthy(self) -> bool:
        """By the image's own check."""
        done = self._engine._run("podman", "healthcheck", "run", self.name)
        return done.returncode == 0

    def becomes_healthy(self, seconds: float = 300) -> bool:
        """Whether it is healthy within a time that is long enough."""
        return self.comes_to(self.is_healthy, seconds)

    def becomes_ready(self, seconds: float = 300) -> bool:
        """Whether the service in it says that it is ready."""
        return self.comes_to(lambda: "ready: HTTP" in self.logs(), seconds)

    def comes_to(self, state: Callable[[], bool], seconds: float) -> bool:
        """Whether it is so within these seconds; looked at once a second, as a look costs work."""
        end = time.monotonic() + seconds
        while not state():
            if time.monotonic() > end:
                return False
            time.sleep(1)
        return True

    def inspect(self, template: str) -> str:
        """Of podman's own facts about it, in Go's templates."""
        return self._engine.podman("inspect", self.name, "--format", template).strip()

    def logs(self) -> str:
        """What it has printed."""
        done = self._engine._run("podman", "logs", self.name)
        return done.stdout + done.stderr


def copy_context(folder: Path, more: Mapping[str, bytes] | None = None) -> None:
    """The project as a build gets it: what git knows or would, with the models.

    more: further files, by their names.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if name.startswith(("tests/", "bench/", "docs/")) or not (ROOT / name).is_file():
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / "models", folder / "models")
    for name, content in (more or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _pip_settings() -> str:
    """pip reaches the registry as it does on this machine."""
    lines = ["[global]", "cert = /etc/ssl/certs/host.crt"]
    if index := os.environ.get("PIP_INDEX_URL"):
        lines.append(f"index-url = {index}")
    return "\n".join(lines) + "\n"
