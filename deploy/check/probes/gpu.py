"""NVIDIA's GPUs: cards, driver, its library, MIG instances, CUDA's libraries."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.check.finding import Finding, Outcome, counted, failed, not_applicable, passed, warned
from deploy.check.machine import HangsError, Machine
from deploy.check.needs import Needs
from deploy.check.probes.gpu_libraries import libraries, version_of

_PCI = "/sys/bus/pci/devices"
_NVIDIA, _DISPLAY = "0x10de", "0x03"
_MODULE = "/proc/driver/nvidia/version"
_FIELDS = ("index", "name", "memory.total", "memory.used", "persistence_mode")
# Of drivers that are new enough; an older one refuses the whole question.
_NEWER_FIELDS = ("index", "compute_cap", "mig.mode.current", "mig.mode.pending")
_OF_CARDS = ("capability", "memory", "persistence", "mig", "devices")
_MISMATCH = re.compile("driver/library version mismatch", re.IGNORECASE)


@dataclass(frozen=True)
class Card:
    """A GPU as nvidia-smi tells of it; memory in MiB. The rest is "" where the driver is old."""

    index: str
    name: str
    total: int
    used: int
    persistence: str
    capability: str = ""
    mig: str = ""
    mig_pending: str = ""


def probe(machine: Machine, needs: Needs) -> Iterator[Finding]:
    """The items of the group gpu."""
    count, module = _pci_cards(machine), _module_version(machine)
    asked = bool(needs.gpu or needs.all_devices)
    if not count and module is None:
        if asked:
            yield failed("gpu.card", "none", devices=", ".join(needs.all_devices) or "a GPU")
        else:
            yield not_applicable("gpu.card", "none; everything runs on the processor")
        for name in ("driver", "library", "smi", *_OF_CARDS, "cuda", "cudnn"):
            yield not_applicable(f"gpu.{name}", "no NVIDIA GPU")
        return
    yield passed("gpu.card", counted(count, "NVIDIA GPU") if count else "seen by the driver alone")
    for finding in _of_driver(machine, needs, module):
        yield finding if asked or needs.gpu is None else _softened(finding)


def _softened(finding: Finding) -> Finding:
    """What is no failure while nothing asks for a GPU."""
    is_failure = finding.outcome is Outcome.FAIL
    return dataclasses.replace(finding, outcome=Outcome.WARNING) if is_failure else finding


def _pci_cards(machine: Machine) -> int:
    def is_gpu(name: str) -> bool:
        vendor = (machine.read(f"{_PCI}/{name}/vendor") or "").strip()
        return vendor == _NVIDIA and (machine.read(f"{_PCI}/{name}/class") or "")[:4] == _DISPLAY

    return sum(map(is_gpu, machine.entries(_PCI)))


def _module_version(machine: Machine) -> str | None:
    """Of the driver that the kernel has loaded."""
    found = re.search(r"Kernel Module\D*?\s(\d+\.[\d.]+)", machine.read(_MODULE) or "")
    return found[1] if found else None


def _of_driver(machine: Machine, needs: Needs, module: str | None) -> Iterator[Finding]:
    if module is None:
        yield failed("gpu.driver", "the kernel has no driver of NVIDIA loaded", "unloaded")
    else:
        yield Finding("gpu.driver", module, module)
    there = libraries(machine)
    yield _library(machine, there, module)
    smi, cards = _ask(machine)
    yield smi
    if cards:
        yield from _of_cards(cards)
        yield from _mig(machine, cards)
        yield from _devices(machine, needs, cards)
    else:
        for name in _OF_CARDS:
            yield not_applicable(f"gpu.{name}", "nvidia-smi does not tell")
    yield from _cuda(machine, there, needs)


def _library(machine: Machine, there: Mapping[str, str], module: str | None) -> Finding:
    """Whether the driver's library in the file system is of the driver in the kernel."""
    path = there.get("libnvidia-ml.so.1")
    if path is None:
        return failed("gpu.library", "libnvidia-ml.so.1 is missing", "missing")
    version = version_of(machine, path)
    words = version or path
    if module is not None and version and "." in version and version != module:
        facts = {"module": module, "library": version}
        return failed("gpu.library", f"{version}, the kernel has {module}", **facts)
    return passed("gpu.library", words)


def _ask(machine: Machine) -> tuple[Finding, list[Card]]:
    """What nvidia-smi tells, as an item and as cards."""
    item, form = "gpu.smi", "--format=csv,noheader,nounits"
    try:
        answer = machine.run("nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", form)
        newer = machine.run("nvidia-smi", f"--query-gpu={','.join(_NEWER_FIELDS)}", form)
    except HangsError as error:
        return failed(item, str(error), "hangs"), []
    if answer.is_missing:
        return failed(item, "nvidia-smi is not installed", "missing"), []
    if _MISMATCH.search(answer.out + answer.error):
        return failed(item, answer.said, "mismatch"), []
    if not answer.ok:
        return failed(item, answer.said), []
    more = {row[0]: row for row in _rows(newer.out, len(_NEWER_FIELDS))} if newer.ok else {}
    cards = [
        Card(row[0], row[1], int(row[2]), int(row[3]), row[4], *more.get(row[0], ())[1:])
        for row in _rows(answer.out, len(_FIELDS))
        if row[2].isdigit() and row[3].isdigit()
    ]
    if not cards:
        return failed(item, "nvidia-smi finds no GPU"), []
    return passed(item, "; ".join(f"{card.index}: {card.name}" for card in cards)), cards


def _rows(text: str, width: int) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return [row for row in rows if len(row) == width]


def _of_cards(cards: list[Card]) -> Iterator[Finding]:
    for card in cards:
        subject, facts = f"GPU {card.index}", {"index": card.index}
        if re.fullmatch(r"\d+\.\d+", card.capability):
            words = f"{card.capability} ({card.name})"
            yield Finding("gpu.capability", words, card.capability, subject=subject)
        else:
            yield warned("gpu.capability", "the driver is too old to tell", "unseen", subject)
        free = card.total - card.used
        words = f"{free:,} of {card.total:,} MiB free"
        yield Finding("gpu.memory", words, free, subject=subject, facts=facts)
        on = card.persistence == "Enabled"
        yield Finding("gpu.persistence", "on" if on else "off", on, subject=subject, facts=facts)


def _mig(machine: Machine, cards: list[Card]) -> Iterator[Finding]:
    instances = _instances(machine)
    for card in cards:
        subject, facts = f"GPU {card.index}", {"index": card.index}
        if card.mig in ("", "[N/A]", "N/A", "[Not Supported]"):
            yield not_applicable("gpu.mig", "this GPU cannot be divided", subject)
        elif card.mig_pending not in ("", card.mig):
            words = f"{card.mig.lower()}, {card.mig_pending.lower()} after a reset"
            yield warned("gpu.mig", words, "pending", subject, **facts)
        elif card.mig != "Enabled":
            yield passed("gpu.mig", "off: the GPU is one device", subject)
        elif own := [name for index, name, _ in instances if name and index == card.index]:
            yield passed("gpu.mig", f"on: {', '.join(own)}", subject)
        else:
            yield failed("gpu.mig", "on, without an instance", "empty", subject, **facts)


def _instances(machine: Machine) -> list[tuple[str, str, str]]:
    """GPU's index, profile and UUID of each MIG instance; without a profile of the GPU itself."""
    found, index = [], ""
    for line in machine.run("nvidia-smi", "-L").out.splitlines():
        if card := re.match(r"GPU (\d+):.*\(UUID: (GPU-[^)]+)\)", line):
            index = card[1]
            found.append((index, "", card[2]))
        elif one := re.match(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)", line):
            found.append((index, one[1], one[2]))
    return found


def _devices(machine: Machine, needs: Needs, cards: list[Card]) -> Iterator[Finding]:
    """Whether each device that is asked for is there."""
    if not needs.all_devices:
        yield not_applicable("gpu.devices", "nothing asks for one")
        return
    told = _instances(machine)
    instances = {uuid: profile for _, profile, uuid in told if profile}
    plain = {card.index: card for card in cards}
    indexes = {uuid: index for index, profile, uuid in told if not profile}
    for device in needs.all_devices:
        facts = {"devices": ", ".join([*plain, *instances])}
        if device in instances:
            yield passed("gpu.devices", f"there, {instances[device]}", device)
            continue
        card = plain.get(indexes.get(device, device))
        if card is None:
            yield failed("gpu.devices", "not there", "", device, **facts)
        elif card.mig == "Enabled":
            yield failed("gpu.devices", "divided into MIG instances", "divided", device, **facts)
        else:
            yield passed("gpu.devices", f"there, {card.name}", device)


def _cuda(machine: Machine, there: Mapping[str, str], needs: Needs) -> Iterator[Finding]:
    if needs.gpu is False and not needs.all_devices:
        yield not_applicable("gpu.cuda", "no stage runs on a GPU")
        yield not_applicable("gpu.cudnn", "no stage runs on a GPU")
        return
    version = version_of(machine, there.get("libcublas.so.11", ""))
    words = f"all there, cuBLAS {version}" if "." in version else "all there"
    yield Finding("gpu.cuda", words, frozenset(there))
    path = there.get("libcudnn.so.8")
    if path is None:
        other = sorted(name for name in there if name.startswith("libcudnn.so"))
        yield failed("gpu.cudnn", f"missing; there is {other[0]}" if other else "missing")
    else:
        version = version_of(machine, path)
        yield Finding("gpu.cudnn", version or path, version or None)
