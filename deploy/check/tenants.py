"""What a tenant file asks of this server, and whether the server has it.

Of the file no more is read than that; the tenants' own commands know the rest of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.check.finding import Finding, counted, failed, not_applicable, passed, sized, warned
from deploy.check.machine import Machine
from deploy.check.needs import Needs, Place, TenantNeeds
from deploy.check.probes import disk, memory, network
from deploy.check.probes.processor import numbers, usable
from deploy.check.probes.sockets import listeners, services

_PORTS = ("pipeline_http", "pipeline_rpc", "gateway")
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_UUID = re.compile(r"(MIG|GPU)-[A-Za-z0-9/-]{1,80}")


class TenantFileError(ValueError):
    """What is wrong with a tenant file, in one line that names the key."""


def load_needs(path: Path, role: str) -> tuple[TenantNeeds, ...]:
    """What each tenant of a file needs. Raises TenantFileError."""
    # Late: where nothing is installed yet there is no YAML.
    from settings.yaml_file import YamlError, read_yaml

    try:
        document = read_yaml(path)
    except OSError as error:
        raise TenantFileError(f"{path}: cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise TenantFileError(f"{path}: not YAML: {error}") from None
    entries = document.get("tenants") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise TenantFileError(f"{path}: tenants: a list of tenants is expected")
    try:
        needs = tuple(_needs(f"tenants[{n}]", entry, path, role) for n, entry in enumerate(entries))
    except TenantFileError as error:
        raise TenantFileError(f"{path}: {error}") from None
    names = [one.name for one in needs]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise TenantFileError(f"{path}: name: {doubled[0]} stands there twice")
    return needs


def _needs(key: str, entry: Any, path: Path, role: str) -> TenantNeeds:
    if not isinstance(entry, dict):
        raise TenantFileError(f"{key}: a mapping is expected")
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TenantFileError(f"{key}.name: {name!r:.80} is not allowed")
    devices, cores = _device(f"{name}.device", entry.get("device", ""))
    cores |= _cores_of(f"{name}.cores", entry.get("cores", ""))
    folders = {}
    for kind in ("data", "log"):
        value = entry.get(kind)
        if value is not None:
            if not isinstance(value, str) or not value or "\0" in value:
                raise TenantFileError(f"{name}.{kind}: a folder is expected")
            folders[f"{name} {kind}"] = (path.parent / value).resolve()
    places = _places(name, entry.get("ports") or {}, role)
    size = _bytes(f"{name}.memory", entry.get("memory"))
    shares = (entry.get(key) is True for key in ("shared_device", "shared_cores"))
    return TenantNeeds(name, places, devices, cores, size, folders, *shares)


def _device(key: str, value: Any) -> tuple[tuple[str, ...], frozenset[int]]:
    """GPU devices and cores: a UUID, a GPU's index, or cores such as "0-1"."""
    text = str(value).strip()
    if not text or text == "cpu":
        return (), frozenset()
    if _UUID.fullmatch(text) or re.fullmatch(r"(gpu:)?\d+", text):
        return (text.removeprefix("gpu:"),), frozenset()
    cores = numbers(text.removeprefix("cores:").strip())
    if not cores:
        raise TenantFileError(
            f"{key}: {text!r:.80} is not a UUID, the index of a GPU or cores such as 0-1"
        )
    return (), cores


def _cores_of(key: str, value: Any) -> frozenset[int]:
    text = str(value).strip()
    cores = numbers(text)
    if text and not cores:
        raise TenantFileError(f"{key}: {text!r:.80} is not cores such as 0-1")
    return cores


def _bytes(key: str, value: Any) -> int:
    if value is None:
        return 0
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]iB)?", str(value).strip())
    if found is None:
        raise TenantFileError(f"{key}: {value!r:.80} is not bytes, or such as 4GiB")
    return int(float(found[1]) * _UNITS[found[2] or ""])


def _places(name: str, ports: Any, role: str) -> tuple[Place, ...]:
    if not isinstance(ports, dict):
        raise TenantFileError(f"{name}.ports: a mapping is expected")
    found = []
    for key in _PORTS:
        port = ports.get(key)
        if port is None or (role != "all" and (key == "gateway") != (role == "gateway")):
            continue
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
            raise TenantFileError(f"{name}.ports.{key}: {port!r:.80} is not a port")
        found.append(Place(f"{name} {key}", "127.0.0.1", port, name))
    return tuple(found)


def probe(machine: Machine, needs: Needs, kinds: disk.Kinds) -> Iterator[Finding]:
    """The items of the group tenants, for all tenants together and for each.

    kinds: of file systems, remote and passing.
    """
    tenants = needs.tenants
    yield passed("tenants.file", ", ".join(one.name for one in tenants))
    yield from network.doubles(list(needs.all_places))
    yield _memory(machine, tenants)
    yield _cores(machine, tenants)
    yield _devices(tenants)
    listening, running = listeners(machine), services(machine)
    lowest = network.lowest_port(machine)
    for one in tenants:
        for place in one.places:
            yield network.port(listening, running, place, needs, lowest)
        for name, folder in one.folders.items():
            yield from disk.folder(machine, name, folder, needs.sqlite, kinds)
    yield _folders(tenants)


def _memory(machine: Machine, tenants: tuple[TenantNeeds, ...]) -> Finding:
    item = "tenants.memory"
    asked = sum(one.memory for one in tenants)
    if not asked:
        return not_applicable(item, "the file names no limits")
    there = memory.usable(machine)
    words = f"{sized(asked)} of {sized(there)}"
    unlimited = [one.name for one in tenants if not one.memory]
    if unlimited and asked <= there:
        return warned(item, f"{words}, and no limit for {', '.join(unlimited)}", "unlimited")
    return Finding(item, words, (there - asked) // memory.MIB)


def _cores(machine: Machine, tenants: tuple[TenantNeeds, ...]) -> Finding:
    item = "tenants.cores"
    named = {one.name: one.cores for one in tenants if one.cores}
    if not named:
        return not_applicable(item, "the file names none")
    there = usable(machine)
    for name, cores in named.items():
        if missing := sorted(cores - there):
            words = f"{name}: {', '.join(map(str, missing))} not there"
            return failed(item, words, count=len(there))
    alone = {one.name for one in tenants if not one.shares_cores}
    shared = _shared(named, alone)
    if shared:
        return warned(item, f"shared by {shared}", "shared")
    total = len(frozenset().union(*named.values()))
    return passed(item, f"{counted(total, 'core')} of {len(there)}, none twice unasked")


def _devices(tenants: tuple[TenantNeeds, ...]) -> Finding:
    item = "tenants.devices"
    named = {one.name: frozenset(one.devices) for one in tenants if one.devices}
    if not named:
        return not_applicable(item, "the file names none")
    shared = _shared(named, {one.name for one in tenants if not one.shares_device})
    if shared:
        return warned(item, f"shared by {shared}")
    return passed(item, f"{counted(len(named), 'tenant')} with one, none twice unasked")


def _shared(named: Mapping[str, frozenset[Any]], alone: set[str]) -> str:
    """Tenants that have something in common, one of which is to have its own; "" for none.

    alone: those that did not say that they share.
    """
    for name, own in named.items():
        others = [other for other, of in named.items() if other != name and of & own]
        if others and alone & {name, *others}:
            return " and ".join((name, *others))
    return ""


def _folders(tenants: tuple[TenantNeeds, ...]) -> Finding:
    """Whether each tenant's data and logs are its own."""
    item = "tenants.folders"
    owners: dict[Path, str] = {}
    for one in tenants:
        for path in set(one.folders.values()):
            if path in owners:
                return failed(item, f"{owners[path]} and {one.name} share {path}", folder=path)
            owners[path] = one.name
    if not owners:
        return not_applicable(item, "the file names none")
    return passed(item, f"{counted(len(owners), 'folder')}, each of one tenant")
