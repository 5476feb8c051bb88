"""Ports that have to be free, and addresses that listen wider than they should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploy.check.finding import Finding, passed, warned
from deploy.check.machine import Machine
from deploy.check.needs import Needs, Place, is_loopback
from deploy.check.probes import firewall
from deploy.check.probes.sockets import Holder, Listener, listeners, services


def probe(machine: Machine, needs: Needs, wide_ports: Mapping[int, str]) -> Iterator[Finding]:
    """The items of the group network. wide_ports: of servers that applications need not reach."""
    listening = listeners(machine)
    lowest = lowest_port(machine)
    running = services(machine)
    for place in needs.places:
        yield port(listening, running, place, needs, lowest)
    yield from _own_addresses(needs)
    yield _other_addresses(listening, needs, wide_ports)
    yield from firewall.probe(machine, [place for place in needs.all_places if place.is_wide])


def lowest_port(machine: Machine) -> int:
    """The first port that a user other than root may listen on."""
    text = (machine.read("/proc/sys/net/ipv4/ip_unprivileged_port_start") or "").strip()
    return int(text) if text.isdigit() else 1024


def port(
    listening: list[Listener], running: list[Holder], place: Place, needs: Needs, lowest: int
) -> Finding:
    """Whether a port is free, or its own service's already.

    running: processes of services of this kind. lowest: see `lowest_port`.
    """
    item, subject = "network.port", f"{place.key} {place.port}"
    facts = {"key": place.key, "port": place.port, "config": needs.config}
    if place.port < lowest:
        return Finding(
            item, f"{place.host}:{place.port} is for root alone", False, None, subject, "low", facts
        )
    taken = [one for one in listening if one.port == place.port and one.takes(place.host)]
    if not taken:
        return Finding(item, "free", True, subject=subject, facts=facts)
    by = ", ".join(dict.fromkeys(one.by for one in taken))
    whose = f"tenant {place.tenant}" if place.tenant else "this service"
    if is_own(taken, running, place, needs):
        return passed(item, f"{whose} has it: {by}", subject)
    owners = [holder.settings for one in taken for holder in one.holders]
    other = next((owner for owner in owners if owner is not None), None)
    words, case = f"{by} has it", ""
    if other is not None:
        words, case = f"another service of this kind has it: {by}, {other}", "service"
    return Finding(item, words, False, None, subject, case, {**facts, "by": by, "other": other})


def is_own(taken: list[Listener], running: list[Holder], place: Place, needs: Needs) -> bool:
    """Whether those that have a port are of the service that the port is for.

    Of another user's processes it cannot be seen who of them holds a socket: that the service
    runs is then as good.
    """
    holders = [holder for one in taken for holder in one.holders]
    settings = [holder.settings for holder in holders]
    own = [one for one in settings if one is not None and place.is_of(one, needs.config)]
    if holders or not taken:
        return bool(own) and len(own) == len(holders)
    known = [holder.settings for holder in running]
    return any(one is not None and place.is_of(one, needs.config) for one in known)


def _own_addresses(needs: Needs) -> Iterator[Finding]:
    """Of this service, as its settings say."""
    for place in needs.places:
        where = f"{place.host}:{place.port}"
        is_gateway = place.key.startswith("gateway.")
        item = "network.gateway_address" if is_gateway else "network.pipeline_address"
        if place.is_wide:
            facts = {"key": place.key.replace("port", "host")}
            yield warned(item, where, subject=place.key, **facts)
        else:
            yield passed(item, f"{where}, this machine alone", place.key)


def _other_addresses(
    listening: list[Listener], needs: Needs, wide_ports: Mapping[int, str]
) -> Finding:
    own = {place.port for place in needs.all_places}
    wide = [
        f"{wide_ports[one.port]} on {one.host}:{one.port}"
        for one in listening
        if one.port in wide_ports and one.port not in own and not is_loopback(one.host)
    ]
    if not wide:
        return passed("network.other_addresses", "none of those that are known")
    return warned("network.other_addresses", "; ".join(dict.fromkeys(wide)))
