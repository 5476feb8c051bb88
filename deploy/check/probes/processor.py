"""The processor: what it is, what it can, how many of its cores this process may use."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.check.finding import Finding, counted, not_applicable, warned
from deploy.check.machine import Machine
from deploy.check.probes.cgroups import processor_limit

# Item to the flag of /proc/cpuinfo that stands for it.
_SETS = {
    "avx512": "avx512f",
    "vnni": "avx512_vnni",
    "bf16": "avx512_bf16",
    "amx": "amx_tile",
}
# Flags that say more of the same set.
_MORE = {"amx": ("amx_bf16", "amx_int8"), "vnni": ("avx_vnni",)}


def probe(machine: Machine) -> Iterator[Finding]:
    """The items of the group processor."""
    about = _cpuinfo(machine)
    architecture = machine.architecture()
    yield Finding("processor.architecture", architecture, architecture)
    yield Finding("processor.model", about.get("model name", "unknown"))
    yield from _cores(machine, about)
    flags = frozenset(about.get("flags", "").split())
    if not flags:
        for name in ("avx", "avx2", *_SETS):
            yield not_applicable(f"processor.{name}", "/proc/cpuinfo names no instruction sets")
        return
    yield Finding("processor.avx", "yes" if "avx" in flags else "no", "avx" in flags)
    for name, flag in {"avx2": "avx2", **_SETS}.items():
        has = flag in flags
        more = [one for one in _MORE.get(name, ()) if one in flags]
        words = f"yes ({', '.join(more)})" if has and more else "yes" if has else "no"
        yield Finding(f"processor.{name}", words, has)


def _cpuinfo(machine: Machine) -> dict[str, str]:
    """The first processor's lines."""
    text = (machine.read("/proc/cpuinfo") or "").split("\n\n")[0]
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cores(machine: Machine, about: dict[str, str]) -> Iterator[Finding]:
    online = numbers(machine.read("/sys/devices/system/cpu/online") or "")
    allowed = usable(machine)
    if not allowed:
        yield warned("processor.cores", "cannot be read from /proc/self/status")
        return
    share = processor_limit(machine)
    cores = float(len(allowed)) if share is None else min(float(len(allowed)), share)
    words = counted(len(allowed), "core")
    if len(online) > len(allowed):
        words += f" of {len(online)}"
    if share is not None and share < len(allowed):
        words += f", of which the cgroup lets {share:g} be used"
    if re.search(r"\bht\b", about.get("flags", "")) and _siblings(machine) > 1:
        words += " (hyper-threads, two make one core)"
    yield Finding("processor.cores", words, cores)


def usable(machine: Machine) -> frozenset[int]:
    """Numbers of the cores that this process may run on."""
    status = machine.read("/proc/self/status") or ""
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)", status, re.MULTILINE)
    return numbers(found[1]) if found else frozenset()


def numbers(text: str) -> frozenset[int]:
    """A list as the kernel writes it: "0-3,8"; empty where it is none."""
    found: set[int] = set()
    for part in text.strip().split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None or int(match[2] or match[1]) > 1 << 16:
            return frozenset()
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)


def _siblings(machine: Machine) -> int:
    text = machine.read("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    return len(numbers(text or ""))
