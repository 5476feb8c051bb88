"""The operating system: kernel, C library, Python, clock, limits, what starts services."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.check.finding import Finding, failed, not_applicable, passed, warned
from deploy.check.machine import Machine
from deploy.check.needs import Needs

_LIMITS = {"open_files": "Max open files", "processes": "Max processes"}
_BOOTED = "/run/systemd/system"


def probe(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """The items of the group system."""
    release = re.search(
        r'^PRETTY_NAME="?([^"\n]*)', machine.read("/etc/os-release") or "", re.MULTILINE
    )
    yield passed("system.distribution", release[1] if release else "unknown")
    yield Finding("system.kernel", machine.kernel(), machine.kernel())
    yield _c_library(machine)
    yield _openmp(machine)
    yield from _python(machine, needs)
    yield _clock(machine)
    yield from _limits(machine)
    yield _systemd(machine)


def _c_library(machine: Machine) -> Finding:
    answer = machine.run("getconf", "GNU_LIBC_VERSION")
    if answer.ok and answer.out.startswith("glibc "):
        return Finding("system.glibc", answer.out.strip(), answer.out.split()[1])
    answer = machine.run("ldd", "--version")
    first = answer.said
    found = re.search(r"(\d+\.\d+)$", first)
    if answer.ok and found and re.search("glibc|gnu", first, re.IGNORECASE):
        return Finding("system.glibc", f"glibc {found[1]}", found[1])
    if "musl" in f"{answer.out}{answer.error}":
        return failed("system.glibc", "musl, another C library", "musl")
    return warned("system.glibc", "neither getconf nor ldd tells it")


def _openmp(machine: Machine) -> Finding:
    listed = machine.run("ldconfig", "-p")
    if not listed.ok:
        return warned("system.openmp", "ldconfig does not tell which libraries there are")
    found = re.search(r"libgomp\.so\.1 .*=> (\S+)", listed.out)
    return Finding("system.openmp", found[1] if found else "missing", bool(found))


def _python(machine: Machine, needs: Needs) -> Iterator[Finding]:
    python = machine.interpreter()
    minor = ".".join(python.version.split(".")[:2])
    words = f"{python.version}, {python.path}"
    yield Finding("system.python", words, minor)
    if needs.gpu:
        yield Finding("system.python_gpu", words, minor)
    whole = "there" if python.makes_environments else "without ensurepip"
    facts = {"version": minor}
    yield Finding("system.venv", whole, python.makes_environments, facts=facts)


def _clock(machine: Machine) -> Finding:
    clock = machine.clock()
    if clock is None:
        return warned("system.clock", "the kernel does not tell")
    if not clock.is_synchronised:
        return Finding("system.clock", "not synchronised", False)
    error_ms = clock.max_error_s * 1000
    return Finding("system.clock", f"synchronised, within {error_ms:,.0f} ms", True)


def _limits(machine: Machine) -> Iterator[Finding]:
    text = machine.read("/proc/self/limits") or ""
    for name, title in _LIMITS.items():
        row = re.search(rf"^{title}\s+(\S+)\s+(\S+)", text, re.MULTILINE)
        if row is None:
            yield warned(f"system.{name}", "cannot be read from /proc/self/limits")
            continue
        # The service raises the number of its open files to the hard limit by itself.
        limit = row[2] if name == "open_files" else row[1]
        value = float("inf") if limit == "unlimited" else float(limit)
        words = limit if limit == "unlimited" else f"{int(limit):,}"
        yield Finding(f"system.{name}", words, value)


def _systemd(machine: Machine) -> Finding:
    if not machine.entries(_BOOTED):
        return not_applicable("system.systemd", "systemd does not run this machine")
    answer = machine.run("systemctl", "--version")
    found = re.match(r"systemd (\d+)", answer.out)
    if not found:
        return warned("system.systemd", f"systemctl says: {answer.said}")
    return Finding("system.systemd", found[1], int(found[1]))
