"""What a tenant file asks of this server, and whether the server has it.

What two tenants may not share is refused where the file is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.check.finding import Finding, counted, failed, not_applicable, passed, sized, warned
from deploy.check.machine import Machine
from deploy.check.needs import Needs, Place, TenantNeeds, has_role
from deploy.check.probes import disk, memory, network
from deploy.check.probes.processor import usable
from deploy.check.probes.sockets import listeners, services


def load_needs(path: Path, role: str) -> tuple[TenantNeeds, ...]:
    """What each tenant of a file needs. Raises ConfigError, see `deploy.tenants.tenant_file`."""
    # Late: where nothing is installed yet there is no YAML.
    from deploy.tenants.tenant_file import load_tenants

    found = []
    for one in load_tenants(path).tenants:
        ports = {
            "pipeline": {
                "pipeline_http": one.ports.pipeline_http, "pipeline_rpc": one.ports.pipeline_rpc
            },
            "gateway": {"gateway": one.ports.gateway},
        }  # fmt: skip
        places = tuple(
            Place(f"{one.name} {key}", "127.0.0.1", port, one.name)
            for part, numbers in ports.items()
            if has_role(role, (part,))
            for key, port in numbers.items()
        )
        devices = (one.device,) if one.device else ()
        folders = {f"{one.name} data": one.data, f"{one.name} log": one.log}
        cores = frozenset(one.core_numbers)
        found.append(TenantNeeds(one.name, places, devices, cores, one.memory_bytes, folders))
    return tuple(found)


def probe(machine: Machine, needs: Needs, kinds: disk.Kinds) -> Iterator[Finding]:
    """The items of the group tenants, for all tenants together and for each.

    kinds: of file systems, remote and passing.
    """
    tenants = needs.tenants
    yield passed("tenants.file", ", ".join(one.name for one in tenants))
    yield _memory(machine, tenants)
    yield _cores(machine, tenants)
    listening, running = listeners(machine), services(machine)
    lowest = network.lowest_port(machine)
    for one in tenants:
        for place in one.places:
            yield network.port(listening, running, place, needs, lowest)
        for name, folder in one.folders.items():
            yield from disk.folder(machine, name, folder, needs.sqlite, kinds)


def _memory(machine: Machine, tenants: tuple[TenantNeeds, ...]) -> Finding:
    asked, there = sum(one.memory for one in tenants), memory.usable(machine)
    words = f"{sized(asked)} of {sized(there)}"
    return Finding("tenants.memory", words, (there - asked) // memory.MIB)


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
    total = len(frozenset().union(*named.values()))
    words = f"{counted(total, 'core')} of {len(there)}"
    if total < sum(map(len, named.values())):
        return warned(item, f"{words}, some shared", "shared")
    return passed(item, words)
