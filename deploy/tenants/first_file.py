"""A tenant file to start from: this machine's cores and memory, divided among some names."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from deploy.errors import DeployError
from deploy.tenants.tenant_file import checked

PORTS_OF_EACH = 3
_HEADER = """\
# Which services share this machine; docs/tenants.md has every key. Paths start at this file's
# folder; what is left out is below tenants/NAME/ there.
"""
_STEP = 256 << 20
# With the models of config.yml a service takes some 1.1 GB (docs/operating.md#memory), a large
# picture half a gigabyte more; over 4 GiB only more replicas would find a use for.
_LEAST, _MOST = 1536 << 20, 4096 << 20
# The rest is the system's, and its cache of files.
_SHARE = 0.75
# A container's limit stands at the top of what it sees: version 2, and 1.
_LIMITS = tuple(
    Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory/memory.limit_in_bytes")
)


def first_file(
    path: Path, names: Sequence[str], first_port: int, cores: Sequence[int], memory: int
) -> str:
    """The text of a file that is to be at this path, with a tenant for each name.

    first_port: of three for each tenant, its gateway's first. cores: that may be used. memory:
    bytes that there are. Raises DeployError where a tenant would have too little memory, and
    ConfigError for what no tenant file may say.
    """
    each = int(memory * _SHARE / len(names)) // _STEP * _STEP
    if each < _LEAST:
        fit = int(memory * _SHARE / _LEAST)
        raise DeployError(
            f"{len(names)} tenants would have {max(each, 0) >> 20} MiB of memory each, and each "
            f"needs {_LEAST >> 20}; this machine has enough for {fit}"
        )
    parts = _parts(sorted(cores), len(names))
    taken = Counter(core for part in parts for core in part)
    tenants: list[dict[str, Any]] = []
    for number, (name, part) in enumerate(zip(names, parts)):
        port = first_port + PORTS_OF_EACH * number
        shared = {"shared_cores": True} if any(taken[core] > 1 for core in part) else {}
        tenants.append(
            {
                "name": name,
                "cores": _text(part),
                **shared,
                "memory": f"{min(each, _MOST) >> 20}MiB",
                "ports": {"gateway": port, "pipeline_http": port + 1, "pipeline_rpc": port + 2},
            }
        )
    checked(path, {"tenants": list(tenants)})
    return _HEADER + yaml.safe_dump({"tenants": tenants}, sort_keys=False)


def memory_here(limits: Sequence[Path] = _LIMITS) -> int:
    """Bytes of this machine, or of the container that this is. limits: files of control groups."""
    found = [psutil.virtual_memory().total]
    for file in limits:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(file.read_text(encoding="ascii")))
    return min(found)


def _parts(cores: Sequence[int], count: int) -> list[Sequence[int]]:
    """Neighbouring cores for each; where there are fewer cores than tenants, one after another."""
    if len(cores) < count:
        return [[cores[number % len(cores)]] for number in range(count)]
    ends = [len(cores) * number // count for number in range(count + 1)]
    return [cores[first:last] for first, last in itertools.pairwise(ends)]


def _text(cores: Sequence[int]) -> str:
    """As a tenant file has them: "0-3,8"."""
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
