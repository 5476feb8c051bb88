"""A bare Debian below a folder, and programs in it as on a machine of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

SUITE = "bookworm"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# In namespaces of its own, which take mounts and processes with them when they end; the network
# has nothing but the machine itself.
_INSIDE = """
ip link set lo up
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/run"
root=$1
path=$2
shift 2
exec chroot "$root" env -i PATH="$path" HOME=/root LANG=C.UTF-8 "$@"
"""


class Debian:
    """The system below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self, *command: str, seconds: float = 1200, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in it without a network, as root. text: its standard input."""
        return subprocess.run(
            [*_ALONE, "sh", "-c", _INSIDE, "sh", str(self.root), _PATH, *command],
            input=text, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip

    def path(self, name: str) -> Path:
        """A file of it, by its absolute name inside."""
        return self.root / name.lstrip("/")


_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--")


def make_debian(folder: Path, packages: Sequence[str]) -> Debian:
    """A new system with these packages; skips where it cannot be made.

    FACE_DEBIAN_CACHE in the environment names a folder that keeps what was fetched.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can make a Debian")
    for program in ("debootstrap", "unshare", "chroot"):
        if shutil.which(program, path=f"{os.environ['PATH']}:{_PATH}") is None:
            pytest.skip(f"{program} is not installed")
    kept = os.environ.get("FACE_DEBIAN_CACHE")
    cache = Path(kept) / f"{SUITE}-{'-'.join(sorted(packages))}.tar" if kept else None
    root = folder / "debian"
    root.mkdir()
    if cache is not None and cache.is_file():
        subprocess.run(["tar", "-C", root, "-xf", cache], check=True)
        return Debian(root)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE, root]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no Debian can be fetched: {done.stdout[-300:]}")
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        made = cache.with_suffix(".new")
        subprocess.run(["tar", "-C", root, "-cf", made, "."], check=True)
        os.replace(made, cache)
    return Debian(root)
