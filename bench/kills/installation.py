"""The configuration files of a run: the gateway by itself, the whole service, another library."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runtime.ports import free_ports

# Stages that enrolment does without; a pipeline starts faster without them.
_SPARED = ("Attributes", "Liveness")


@dataclass(frozen=True)
class Installation:
    """Files of settings in one folder, and where the service is reached.

    gateway: of a gateway whose pipeline is a service of its own. service: of gateway and pipeline
    together, at the same address and with the same library. other: of a library to restore into.
    """

    folder: Path
    gateway: Path
    service: Path
    other: Path
    url: str

    @property
    def log(self) -> Path:
        """Where what processes complain about is kept."""
        return self.folder / "log"


@dataclass(frozen=True)
class PipelineSettings:
    """A pipeline that is shared by runs. address: HOST:PORT of gRPC."""

    config: Path
    address: str


def read_settings(config: Path) -> dict[str, Any]:
    """The settings of a file, on whose paths nothing depends any more."""
    settings = dict(yaml.safe_load(config.read_text(encoding="utf-8")))
    settings["models_dir"] = str(config.resolve().parent / settings.get("models_dir", "models"))
    settings["dag"] = {"tracer": {"interval_s": 0}}
    for name in _SPARED:
        settings["op"].pop(name, None)
        for stage in settings["op"].values():
            stage["inputs"] = [one for one in stage["inputs"] if one != name]
    return settings


def write_pipeline(settings: Mapping[str, Any], folder: Path) -> PipelineSettings:
    """A pipeline on free ports, without a gateway."""
    own = _with_ports(settings, folder)
    own["gateway"] = {**own.get("gateway", {}), "port": 0}
    address = f"127.0.0.1:{own['rpc_port']}"
    return PipelineSettings(_write(own, folder / "pipeline.yml"), address)


def write_installation(
    settings: Mapping[str, Any], folder: Path, pipeline: str, database: str, other: str
) -> Installation:
    """The settings of a run. database, other: URLs of the library and the one to restore into."""
    port, _ = free_ports()
    own = _with_ports(settings, folder)
    own["library"] = {**own.get("library", {}), "database": database}
    own["gateway"] = {**own.get("gateway", {}), "port": port, "access": "on"}
    service = _write(own, folder / "service.yml")
    apart = copy.deepcopy(own)
    apart["gateway"]["pipelines"] = [pipeline]
    gateway = _write(apart, folder / "gateway.yml")
    elsewhere = folder / "other"
    elsewhere.mkdir()
    own["library"] = {**own["library"], "database": other}
    return Installation(
        folder, gateway, service, _write(own, elsewhere / "config.yml"), f"http://127.0.0.1:{port}"
    )


def _with_ports(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    own = copy.deepcopy(dict(settings))
    own["rpc_port"], own["http_port"] = free_ports()
    own.setdefault("log", {})["dir"] = str(folder)
    return own


def _write(settings: Mapping[str, Any], file: Path) -> Path:
    file.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
    return file
