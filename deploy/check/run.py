"""One check: what is needed, what is found, and what that comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.check import needs as needed
from deploy.check import tenants
from deploy.check.finding import Finding, Outcome, failed, not_applicable
from deploy.check.machine import HangsError, Machine
from deploy.check.needs import Needs
from deploy.check.probes import containers, disk, gpu, memory, network, processor, system
from deploy.check.report import Report, Row
from deploy.check.requirements import Requirements, load

if TYPE_CHECKING:
    from settings.config import Config

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
    config, settings = _settings(asked) if there else (None, None)
    if config is None:
        needs = needed.usual(asked.role, ROOT, asked.config.resolve(), requirements.defaults)
    else:
        needs = needed.of_settings(asked.role, ROOT, config)
    needs, file = _with_tenants(needs, asked, there)
    if settings is None:
        service = list(_not_yet(requirements))
    else:
        service = [settings, *_service(machine, needs, config)]
    return report(machine, needs, [*file, *service], asked.role)


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
        findings += _guarded(requirements, group, look)
    if needs.tenants:
        findings += _guarded(
            requirements, "tenants", tenants.probe(machine, needs, requirements.file_systems)
        )
    findings += parts
    return Report(role, tuple(_rows(requirements, findings, role)))


def _probes(
    machine: Machine, needs: Needs, requirements: Requirements
) -> Iterator[tuple[str, Iterable[Finding]]]:
    yield "processor", processor.probe(machine)
    yield "memory", memory.probe(machine)
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


def _guarded(
    requirements: Requirements, group: str, findings: Iterable[Finding]
) -> Iterator[Finding]:
    """A group's findings. What hangs is a failure, and the rest of its group is not looked at."""
    told = set()
    try:
        for finding in findings:
            told.add(finding.item)
            yield finding
    except HangsError as error:
        left = [
            item for item in requirements.items if item.startswith(f"{group}.") and item not in told
        ]
        yield failed(left[0] if left else f"{group}.{group}", str(error), "hangs")
        for item in left[1:]:
            yield not_applicable(item, str(error))


def _settings(asked: Asked) -> tuple[Config | None, Finding]:
    """The settings, where they can be read; and the item about them."""
    item = "service.settings"
    from settings.config import ConfigError, load_config

    try:
        config = load_config(asked.config)
    except ConfigError as error:
        return None, failed(item, str(error))
    return config, Finding(item, f"{config.path}: valid")


def _with_tenants(needs: Needs, asked: Asked, installed: bool) -> tuple[Needs, list[Finding]]:
    if asked.expect is None:
        return needs, []
    if not installed:
        why = "it cannot be read before the packages are installed"
        return needs, [failed("tenants.file", why, "early", file=asked.expect)]
    try:
        return needs.of(tenants.load_needs(asked.expect, asked.role)), []
    except tenants.TenantFileError as error:
        return needs, [failed("tenants.file", str(error))]


def _service(machine: Machine, needs: Needs, config: Config | None) -> list[Finding]:
    from deploy.check.probes import service

    device = "gpu" if needs.gpu else (machine.read(str(ROOT / ".venv/.device")) or "cpu").strip()
    found = [service.packages(ROOT, "gpu" if device == "gpu" else "cpu")]
    names = ("models", "licences", "database", "milvus", "health")
    if config is None:
        return found + [not_applicable(f"service.{name}", "no valid settings") for name in names]
    found += service.models(config, needs.role)
    found.append(service.licences(config))
    if needs.role != needed.PIPELINE:
        found += _databases(config)
        found.append(service.health(machine, needs))
    return found


def _databases(config: Config) -> list[Finding]:
    from deploy.check.probes import database

    library = config.library_config()
    found = list(database.probe(library))
    if library.index.kind != "milvus":
        return [*found, not_applicable("service.milvus", "the index is in memory")]
    # It takes seconds to import.
    from deploy.check.probes import milvus

    return [*found, *milvus.probe(library)]


def _rows(requirements: Requirements, findings: Iterable[Finding], role: str) -> Iterator[Row]:
    """A row for each finding that matters on a server of the role, in the order of the file."""
    order = {item: number for number, item in enumerate(requirements.items)}
    groups = list(dict.fromkeys(item.partition(".")[0] for item in order))
    for finding in sorted(findings, key=lambda one: groups.index(one.item.partition(".")[0])):
        requirement = requirements.items[finding.item]
        if not needed.has_role(role, requirement.roles):
            continue
        outcome = requirement.outcome(finding)
        yield Row(
            finding.item, finding.subject, requirement.name, requirement.words,
            requirement.found(finding), outcome, requirement.advised(finding, outcome),
        )  # fmt: skip
