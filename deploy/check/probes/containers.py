"""Docker, Podman and NVIDIA's Container Toolkit, for those who run the service in containers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from deploy.check.finding import Finding, failed, not_applicable, passed, warned
from deploy.check.machine import HangsError, Machine

_SIGNS = ("/.dockerenv", "/run/.containerenv")
_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")


def probe(machine: Machine, has_gpu: bool) -> Iterator[Finding]:
    """The items of the group containers. has_gpu: whether the machine has NVIDIA's."""
    inside = any(machine.read(sign) is not None for sign in _SIGNS)
    yield passed("containers.inside", "this is a container" if inside else "no")
    docker = _hanging("containers.docker", lambda: _docker(machine))
    podman = _hanging("containers.podman", lambda: _podman(machine))
    yield docker
    yield _hanging("containers.compose", lambda: _compose(machine, docker))
    yield podman
    runtimes = [one for one in (docker, podman) if one.value is not None]
    yield _hanging("containers.toolkit", lambda: _toolkit(machine, bool(runtimes), has_gpu))
    yield _hanging("containers.gpu", lambda: _gpu(machine, docker, bool(runtimes), has_gpu))


def _hanging(item: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HangsError as error:
        return failed(item, str(error), "hangs")


def _docker(machine: Machine) -> Finding:
    item = "containers.docker"
    answer = machine.run("docker", "version", "--format", "{{json .}}")
    if answer.is_missing:
        return not_applicable(item, "not installed")
    try:
        told = json.loads(answer.out.splitlines()[0] if answer.out.strip() else "{}")
    except ValueError:
        told = {}
    parts = told if isinstance(told, dict) else {}
    client, server = (_version(parts.get(part)) for part in ("Client", "Server"))
    if server:
        return Finding(item, f"{server}, client {client or 'unknown'}", server)
    if "permission denied" in answer.error:
        return warned(item, "its socket is not for this user", "permission")
    return warned(item, f"client {client or 'unknown'}, and no engine that answers", "engine")


def _version(part: object) -> str:
    return str(part.get("Version") or "") if isinstance(part, dict) else ""


def _compose(machine: Machine, docker: Finding) -> Finding:
    item = "containers.compose"
    if docker.found == "not installed":
        return not_applicable(item, "no Docker")
    answer = machine.run("docker", "compose", "version", "--short")
    version = answer.out.strip().lstrip("v")
    if not answer.ok or not version:
        return warned(item, "docker has no command compose")
    return Finding(item, version, version)


def _podman(machine: Machine) -> Finding:
    item = "containers.podman"
    answer = machine.run("podman", "--version")
    if answer.is_missing:
        return not_applicable(item, "not installed")
    found = re.search(r"version (\S+)", answer.out)
    if not answer.ok or not found:
        return warned(item, f"podman says: {answer.said}", "unseen")
    return Finding(item, found[1], found[1])


def _toolkit(machine: Machine, has_runtime: bool, has_gpu: bool) -> Finding:
    item = "containers.toolkit"
    if not has_gpu:
        return not_applicable(item, "no NVIDIA GPU")
    answer = machine.run("nvidia-ctk", "--version")
    if answer.is_missing:
        if not has_runtime:
            return not_applicable(item, "no container runtime")
        return failed(item, "not installed")
    found = re.search(r"version (\d[\d.]*)", answer.out)
    if not answer.ok or not found:
        return warned(item, f"nvidia-ctk says: {answer.said}", "unseen")
    return Finding(item, found[1], found[1])


def _gpu(machine: Machine, docker: Finding, has_runtime: bool, has_gpu: bool) -> Finding:
    """Whether a runtime has been told of the GPUs, as a runtime of Docker or by CDI."""
    item = "containers.gpu"
    if not has_gpu or not has_runtime:
        why = "no container runtime" if has_gpu else "no NVIDIA GPU"
        return not_applicable(item, why)
    files = [
        f"{folder}/{name}" for folder in _CDI_FOLDERS for name in machine.entries(folder)
        if "nvidia.com/gpu" in (machine.read(f"{folder}/{name}") or "")
    ]  # fmt: skip
    if files:
        return passed(item, f"CDI, {files[0]}")
    if docker.value is not None:
        answer = machine.run("docker", "info", "--format", "{{json .Runtimes}}")
        if answer.ok and '"nvidia"' in answer.out:
            return passed(item, "Docker has the runtime nvidia")
    return failed(item, "no runtime has been told of the GPUs")
