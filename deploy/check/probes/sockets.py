"""Who listens on which TCP port: the kernel's tables, and the processes that hold the sockets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.check.machine import Machine
from deploy.check.needs import ANY

_LISTENING = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


@dataclass(frozen=True)
class Holder:
    """A process with an open socket. command: its words. folder: where it works, or ""."""

    pid: int
    name: str
    command: tuple[str, ...]
    folder: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"

    @property
    def settings(self) -> Path | None:
        """The settings' file, where the process is of a service of this kind; else None."""
        words = self.command
        if "ops.serving" in words or "gateway.server" in words:
            name = "ops.serving" if "ops.serving" in words else "gateway.server"
            rest = words[words.index(name) + 1 :]
            return Path(self.folder, rest[0]) if rest else None
        if any(Path(word).name == "web_service.py" for word in words):
            return Path(self.folder, _option(words, "--config") or "config.yml")
        return None


@dataclass(frozen=True)
class Listener:
    """A listening socket. host: its address. holders: none where they cannot be seen."""

    host: str
    port: int
    holders: tuple[Holder, ...]

    @property
    def is_any(self) -> bool:
        """Whether it listens on all addresses."""
        return self.host in ANY

    @property
    def by(self) -> str:
        """Who holds it, for people."""
        return ", ".join(map(str, self.holders)) or "a process of another user"

    def takes(self, host: str) -> bool:
        """Whether nobody else can listen on its port at a host."""
        return self.is_any or host in ANY or self.host == _plain(host)


def listeners(machine: Machine) -> list[Listener]:
    """Every listening TCP socket, by port."""
    found = []
    for table in _TABLES:
        for line in (machine.read(table) or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTENING:
                address, _, port = words[1].partition(":")
                found.append((_address(address), int(port, 16), words[9]))
    holders = _holders(machine, {inode for _, _, inode in found})
    made = [Listener(host, port, holders.get(inode, ())) for host, port, inode in found]
    return sorted(made, key=lambda one: (one.port, one.host))


def services(machine: Machine) -> list[Holder]:
    """Every process of a service of this kind, also of another user's."""
    found = [_holder(machine, int(pid)) for pid in filter(str.isdigit, machine.entries("/proc"))]
    return [holder for holder in found if holder.settings is not None]


def _address(text: str) -> str:
    """An address as the kernel writes it: words of 32 bits, in this machine's order of bytes."""
    packed = b"".join(
        int(text[start : start + 8], 16).to_bytes(4, "little") for start in range(0, len(text), 8)
    )
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _plain(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _holders(machine: Machine, inodes: Collection[str]) -> Mapping[str, tuple[Holder, ...]]:
    """Of each inode the processes that have it open, as far as this user may see them."""
    found: dict[str, dict[int, Holder]] = {}
    for pid in filter(str.isdigit, machine.entries("/proc")):
        for descriptor in machine.entries(f"/proc/{pid}/fd"):
            target = machine.link(f"/proc/{pid}/fd/{descriptor}") or ""
            match = re.fullmatch(r"socket:\[(\d+)\]", target)
            if match and match[1] in inodes:
                found.setdefault(match[1], {})[int(pid)] = _holder(machine, int(pid))
    return {inode: tuple(of.values()) for inode, of in found.items()}


def _holder(machine: Machine, pid: int) -> Holder:
    name = (machine.read(f"/proc/{pid}/comm") or "?").strip()
    command = tuple((machine.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0"))
    return Holder(pid, name, command, machine.link(f"/proc/{pid}/cwd") or "")


def _option(words: tuple[str, ...], name: str) -> str:
    for number, word in enumerate(words):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and number + 1 < len(words):
            return words[number + 1]
    return ""
