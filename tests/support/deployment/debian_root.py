"""A bare Debian below a folder, from debootstrap.

FACE_DEBIAN_CACHE in the environment names a folder that keeps what was fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

SUITE = "bookworm"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def need_root_and(*programs: str) -> None:
    """Skip where one of these programs is missing, or who runs the tests is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can do this here")
    for program in programs:
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"{program} is not installed")


def make_debian(root: Path, packages: Sequence[str] = ()) -> None:
    """Make a new system with these packages below `root`; skips where they cannot be fetched."""
    need_root_and("debootstrap")
    root.mkdir()
    kept = os.environ.get("FACE_DEBIAN_CACHE")
    cache = Path(kept) / f"{SUITE}-{'-'.join(sorted(packages))}.tar" if kept else None
    if cache is not None and cache.is_file():
        subprocess.run(["tar", "-C", root, "-xf", cache], check=True)
        return
    if os.environ.get("CI"):
        pytest.skip("fetching a Debian takes longer than a run of CI may")
    include = [f"--include={','.join(packages)}"] if packages else []
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", *include, SUITE, root],
        capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH},
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no Debian can be fetched: {done.stdout[-300:]}")
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        unfinished = cache.with_suffix(f".{os.getpid()}")
        subprocess.run(["tar", "-C", root, "-cf", unfinished, "."], check=True)
        unfinished.rename(cache)
