"""The installed service's part of a check, in the order of the requirements.

Imported where the packages are there only.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from deploy.check import needs as needed
from deploy.check.finding import Finding, failed, not_applicable
from deploy.check.machine import Machine
from deploy.check.needs import Needs
from settings.config import Config, ConfigError, load_config

_OF_SETTINGS = ("secrets", "models", "licences", "database", "milvus", "pipelines", "health")
# What a message may repeat of the settings: the password in a URL, and Milvus' token.
_PASSWORD = re.compile(r"(://[^:/@\s]*):[^\s'\"]+@")
_TOKEN = re.compile(r"(milvus_token['\"]?: )('[^']*'|\"[^\"]*\"|\S+)")


def settings(file: Path) -> tuple[Config | None, Finding]:
    """The settings, where they can be used; and the item about them."""
    item = "service.settings"
    try:
        config = load_config(file)
    except ConfigError as error:
        return None, failed(item, without_secrets(str(error)))
    return config, Finding(item, f"{config.path}: valid")


def without_secrets(text: str) -> str:
    """A message about settings, without the passwords that it may repeat."""
    return _TOKEN.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def findings(machine: Machine, needs: Needs, config: Config | None) -> Iterator[Finding]:
    """Everything else about the service; without valid settings what can be said all the same."""
    told = False
    try:
        for finding in _findings(machine, needs, config):
            told = told or finding.item == "service.packages"
            yield finding
    except ImportError as error:
        # Some of its packages are there, which is how it got here, and others are not.
        if not told:
            yield failed("service.packages", f"cannot be imported: {error}", device="cpu")


def _findings(machine: Machine, needs: Needs, config: Config | None) -> Iterator[Finding]:
    from deploy.check.probes import service

    noted = (machine.read(str(needs.root / ".venv/.device")) or "").strip()
    device = "gpu" if needs.gpu or noted == "gpu" else "cpu"
    yield service.packages(needs.root, device)
    if config is None:
        for name in _OF_SETTINGS:
            yield not_applicable(f"service.{name}", "no valid settings")
        return
    yield service.secrets(config)
    yield from service.models(config, needs.role)
    yield service.licences(config)
    if needs.role != needed.PIPELINE:
        yield from _databases(config)
        yield from service.pipelines(config)
        yield service.health(machine, needs)


def _databases(config: Config) -> Iterator[Finding]:
    from deploy.check.probes import database

    library = config.library_config()
    yield from database.probe(library)
    if library.index.kind != "milvus":
        yield not_applicable("service.milvus", "the index is in memory")
        return
    with warnings.catch_warnings():
        # pymilvus looks its own version up with pkg_resources.
        warnings.simplefilter("ignore")
        # It takes seconds to import.
        from deploy.check.probes import milvus

    yield from milvus.probe(library)
