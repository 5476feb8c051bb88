"""What may stand between an application and a port: firewalld, nftables, SELinux."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from deploy.check.finding import Finding, failed, not_applicable, passed, warned
from deploy.check.machine import HangsError, Machine
from deploy.check.needs import Place

_ENFORCE = "/sys/fs/selinux/enforce"
_AUDIT_LOG = "/var/log/audit/audit.log"
# Of a chain for what arrives: its start, and what it does with what no rule has taken.
_INPUT = re.compile(r"type filter hook input .*?policy (\w+);", re.DOTALL)


def probe(machine: Machine, open_places: Sequence[Place]) -> Iterator[Finding]:
    """The items about firewalls and SELinux. open_places: what other machines are to reach."""
    ports = sorted({place.port for place in open_places})
    running = False
    for item, look in (("network.firewalld", _firewalld), ("network.nftables", _nftables)):
        if not ports:
            yield not_applicable(item, "nothing is to be reached from other machines")
        elif running:
            yield not_applicable(item, "firewalld writes its rules")
        else:
            try:
                found = look(machine, ports)
            except HangsError as error:
                found = failed(item, str(error), "hangs")
            running = item == "network.firewalld" and not found.found.startswith(_AWAY)
            yield found
    yield _selinux(machine)


_AWAY = ("not installed", "not running")


def _firewalld(machine: Machine, ports: list[int]) -> Finding:
    item = "network.firewalld"
    state = machine.run("firewall-cmd", "--state")
    if state.is_missing:
        return not_applicable(item, "not installed")
    if not state.ok:
        return not_applicable(item, "not running")
    listed = machine.run("firewall-cmd", "--list-all")
    if not listed.ok:
        return warned(item, f"firewall-cmd says: {listed.said}", "unseen")
    zone = listed.out.split(" ", 1)[0].strip()
    target = _field(listed.out, "target")
    open_ = _field(listed.out, "ports")
    closed = [port for port in ports if not _firewalld_lets(open_, port)]
    if not closed or target == "ACCEPT":
        return passed(item, f"zone {zone} lets {_listed(ports)} in")
    facts = {"zone": zone, "options": " ".join(f"--add-port={port}/tcp" for port in closed)}
    return failed(item, f"zone {zone} lets {_listed(closed)} not in", **facts)


def _field(text: str, name: str) -> str:
    found = re.search(rf"^\s+{name}:[ \t]*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _firewalld_lets(ports: str, port: int) -> bool:
    """ports: such as "80/tcp 8000-9000/tcp"."""
    for first, last in re.findall(r"(\d+)(?:-(\d+))?/tcp", ports):
        if int(first) <= port <= int(last or first):
            return True
    return False


def _nftables(machine: Machine, ports: list[int]) -> Finding:
    item = "network.nftables"
    answer = machine.run("nft", "list", "ruleset")
    if answer.is_missing:
        return not_applicable(item, "not installed")
    if not answer.ok:
        return warned(item, f"nft says: {answer.said}", "unseen")
    policies = _INPUT.findall(answer.out)
    if "drop" not in policies:
        return passed(item, "no chain drops what no rule has taken")
    closed = [port for port in ports if not _nft_lets(answer.out, port)]
    if not closed:
        return passed(item, f"rules let {_listed(ports)} in")
    return warned(item, f"drops what no rule takes, and no rule names {_listed(closed)}")


def _nft_lets(ruleset: str, port: int) -> bool:
    """Whether a rule that accepts names the port, by itself, in a set or in a range."""
    for line in ruleset.splitlines():
        named = re.search(r"\bdport (\{[^}]*\}|[\w-]+)", line)
        if named is None or "accept" not in line:
            continue
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", named[1]):
            if int(first) <= port <= int(last or first):
                return True
    return False


def _listed(ports: Sequence[int]) -> str:
    return ", ".join(map(str, ports))


def _selinux(machine: Machine) -> Finding:
    item = "network.selinux"
    state = (machine.read(_ENFORCE) or "").strip()
    if not state:
        return not_applicable(item, "not on this machine")
    if state != "1":
        return passed(item, "permissive: it refuses nothing")
    denied = _denials(machine)
    if denied:
        return warned(item, f"enforcing, and refused Python something {denied} times", "denied")
    boolean = machine.run("getsebool", "httpd_can_network_connect")
    if boolean.ok and boolean.out.strip().endswith("off"):
        return warned(item, "enforcing; a proxy may not connect to the service")
    return passed(item, "enforcing; nothing is seen that stands in the way")


def _denials(machine: Machine) -> int:
    """How often the newest part of its log has that it refused a Python program something."""
    lines = (machine.read(_AUDIT_LOG) or "").splitlines()
    return sum("avc:  denied" in line and 'comm="python' in line for line in lines)
