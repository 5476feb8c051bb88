"""One check: what is needed, what is found, and what that comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.check import needs as needed
from deploy.check import tenants
from deploy.check.finding import Finding, Outcome, failed, not_applicable
from deploy.check.machine import HangsError, Machine
from deploy.check.needs import Needs
from deploy.check.probes import containers, disk, gpu, memory, network, processor, system
from deploy.check.report import Report, Row
from deploy.check.requirements import Requirements, load

ROOT = Path(__file__).resolve().parents[2]
# Of each package that the settings, the models and the database need, what is imported.
_PACKAGES = ("click", "rich", "pydantic", "yaml", "sqlalchemy", "alembic", "numpy")
_LATER = "not installed yet"


@dataclass(frozen=True)
class Asked:
    """What a check is asked for. role: all, pipeline or gateway. expect: a tenant file."""

    config: Path = Path("config.yml")
    role: str = needed.ALL
    expect: Path | None = None


def is_installed() -> bool:
    """Whether this Python has the packages of the service."""
    return all(find_spec(name) is not None for name in _PACKAGES)


def check(machine: Machine, asked: Asked, installed: bool | None = None) -> Report:
    """Look at a machine. installed: whether the service's packages are there; None: look."""
    requirements = load()
    there = is_installed() if installed is None else installed
    config, settings = None, failed("service.settings", _LATER)
    if there:
        # Late: a bare Python has none of its packages.
        from deploy.check import installed as service

        config, settings = service.settings(asked.config)
    if config is None:
        needs = needed.usual(asked.role, ROOT, asked.config.resolve(), requirements.defaults)
    else:
        needs = needed.of_settings(asked.role, ROOT, config)
    needs, file = _with_tenants(needs, asked, there)
    if there:
        parts = [settings, *_guarded("service", service.findings(machine, needs, config))]
    else:
        parts = list(_not_yet(requirements))
    return report(machine, needs, [*file, *parts], asked.role)


def _not_yet(requirements: Requirements) -> Iterator[Finding]:
    """What is said of the service before there is one."""
    for item, requirement in requirements.items.items():
        if item.startswith("service.") and not requirement.quiet:
            yield not_applicable(item, _LATER)


def report(machine: Machine, needs: Needs, parts: list[Finding], role: str) -> Report:
    """What a machine comes to for what it is to carry. parts: findings about the service."""
    requirements = load()
    findings: list[Finding] = []
    for group, look in _probes(machine, needs, requirements):
        findings += _guarded(group, look)
    if needs.tenants:
        look = tenants.probe(machine, needs, requirements.file_systems)
        findings += _guarded("tenants", look)
    findings += parts
    return Report(role, tuple(_rows(requirements, findings, role)))


def _probes(
    machine: Machine, needs: Needs, requirements: Requirements
) -> Iterator[tuple[str, Iterable[Finding]]]:
    yield "processor", processor.probe(machine)
    yield "memory", memory.probe(machine, needs.replicas)
    yield "disk", disk.probe(machine, needs, requirements.file_systems)
    yield "system", system.probe(machine, needs)
    yield "network", network.probe(machine, needs, requirements.wide_ports)
    found: list[Finding] = []
    yield "gpu", _noted(gpu.probe(machine, needs), found)
    has_gpu = any(one.item == "gpu.card" and one.outcome is Outcome.PASS for one in found)
    yield "containers", containers.probe(machine, has_gpu)


def _noted(findings: Iterable[Finding], found: list[Finding]) -> Iterator[Finding]:
    for finding in findings:
        found.append(finding)
        yield finding


def _guarded(group: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """A group's findings. What hangs is a failure, and the rest of its group is not looked at."""
    told: list[str] = []
    try:
        for finding in findings:
            told.append(finding.item)
            yield finding
    except HangsError as error:
        left = [
            item for item, requirement in load().items.items()
            if item.startswith(f"{group}.") and item not in told and not requirement.quiet
        ]  # fmt: skip
        yield failed((left or told)[0], str(error), "hangs")
        for item in left[1:]:
            yield not_applicable(item, str(error))


def _with_tenants(needs: Needs, asked: Asked, installed: bool) -> tuple[Needs, list[Finding]]:
    if asked.expect is None:
        return needs, []
    if not installed:
        why = "it cannot be read before the packages are installed"
        return needs, [failed("tenants.file", why, "early", file=asked.expect)]
    from settings.config import ConfigError

    try:
        return needs.of(tenants.load_needs(asked.expect, asked.role)), []
    except ConfigError as error:
        return needs, [failed("tenants.file", str(error))]


def _rows(requirements: Requirements, findings: Iterable[Finding], role: str) -> Iterator[Row]:
    """A row for each finding that matters on a server of the role, in the order of the file."""
    order = {item: number for number, item in enumerate(requirements.items)}
    groups = list(dict.fromkeys(item.partition(".")[0] for item in order))
    for finding in sorted(findings, key=lambda one: groups.index(one.item.partition(".")[0])):
        requirement = requirements.items[finding.item]
        if not needed.has_role(role, requirement.roles):
            continue
        outcome = requirement.outcome(finding)
        found, do = requirement.found(finding), requirement.advised(finding, outcome)
        yield Row(
            finding.item, printable(finding.subject), requirement.name, requirement.words,
            printable(found), outcome, printable(do),
        )  # fmt: skip


def printable(text: str) -> str:
    """Text that may come from anybody's process, fit for a terminal and for one line."""
    return "".join(one if one.isprintable() else "?" for one in text)
