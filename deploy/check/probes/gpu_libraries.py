"""Shared libraries: where the loader, CUDA's installers and Python packages put them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from deploy.check.machine import Machine

_CUDA_FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda-11.8/lib64")


def libraries(machine: Machine) -> Mapping[str, str]:
    """Name, such as libcublas.so.11, to path; of several places the first that is looked into."""
    found: dict[str, str] = {}
    asked = machine.environment("LD_LIBRARY_PATH").split(":")
    for folder in (*filter(None, asked), *_CUDA_FOLDERS):
        for name in machine.entries(folder):
            if ".so" in name:
                found.setdefault(name, f"{folder.rstrip('/')}/{name}")
    listed = machine.run("ldconfig", "-p")
    for name, path in re.findall(r"^\s+(\S+) \(.*\) => (\S+)$", listed.out, re.MULTILINE):
        found.setdefault(name, path)
    return found


def version_of(machine: Machine, path: str) -> str:
    """The version that a library's file has in its name, behind all links; "" where it has none."""
    file = machine.link(path) or path
    found = re.search(r"\.so\.([\d.]+)$", file)
    return found[1] if found else ""
