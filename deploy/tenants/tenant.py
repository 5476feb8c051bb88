"""One tenant as the tenant file describes it; its sizes, cores and device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from settings import device_names
from settings.section import Section

# A tenant's name becomes paths, names of units and of containers, and the first part of a URL.
NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_LONGEST_NAME = 32
# The service takes about a gigabyte with the settings as they are (docs/operating.md, Memory).
LEAST_MEMORY = 256 << 20
_MEMORY = re.compile(r"(\d{1,6}) ?(MiB|GiB|TiB)")
_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_MOST_CORE = 4095
_DATABASE = re.compile(r"(sqlite:////|(postgresql|mysql|mariadb)://)\S+")
# One that stands there, and not ${NAME}.
_PASSWORD = re.compile(r"://[^/@]*:(?!\$\{)[^@]*@")
# What a user may have in a file's path here: it stands in units and in proxies' files, unquoted.
# The kind of a problem whose value is not shown.
HIDDEN = "hidden"
_PATH = re.compile(r"[A-Za-z0-9_./@+-]+")


class Ports(Section):
    """Where a tenant listens: the pipeline's HTTP and gRPC, and the REST gateway."""

    pipeline_http: int = Field(ge=1, le=65535)
    pipeline_rpc: int = Field(ge=1, le=65535)
    gateway: int = Field(ge=1, le=65535)


class Quotas(Section):
    """What a tenant may take; each as the setting of its name in `config.yml`.

    rate_limit: requests a second of a key without a limit of its own, 0 for any number. requests:
    worked on at once by the gateway. queue_length: in the pipeline. upload_bytes: of all bodies.
    faces_per_user: of one user in a group. processes: of the tenant, with their threads.
    """

    rate_limit: float | None = Field(None, ge=0.0, le=1e6, strict=False)
    requests: int | None = Field(None, ge=1, le=65_536)
    queue_length: int | None = Field(None, ge=1, le=4096)
    upload_bytes: int | None = Field(None, ge=1024, le=64 << 30)
    faces_per_user: int | None = Field(None, ge=1, le=10_000)
    processes: int = Field(2000, ge=100, le=1_000_000)


class Tenant(Section):
    """One of several services on a machine. Paths are absolute once the file is loaded.

    name: lower-case letters, digits, dashes. device: empty for the CPU, a GPU's number or UUID, a
    MIG instance's UUID. cores: those that its processes run on, "0-1" or "0,2"; empty for all.
    shared_device, shared_cores: whether other tenants that say so may have them as well.
    memory: of all its processes, such as "4GiB". models: by stage, others than in `config.yml`.
    threads: stages that compute at the same time; 0: one a core. database: URL of its own; a
    SQLite file in `data` where empty. data, log, backups: folders; the last is within `data` where
    empty. keys: file with its admin key. secrets: file of NAME=VALUE lines for ${NAME} in
    `database`.
    """

    name: str = Field(pattern=NAME, max_length=_LONGEST_NAME)
    device: str = Field("", pattern=rf"^({device_names.ONE.pattern})?$")
    shared_device: bool = False
    cores: str = Field("", pattern=r"^(\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*)?$")
    shared_cores: bool = False
    ports: Ports
    memory: str
    models: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    threads: int = Field(0, ge=0, le=1024)
    database: str = ""
    data: Path = Path()
    log: Path = Path()
    backups: Path = Path()
    keys: Path = Path()
    secrets: Path | None = None
    quotas: Quotas = Quotas()

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, raw: Any) -> Any:
        """`device: 0` is number 0, `models: {ArcFace: x}` is a list of one, paths are texts."""
        if not isinstance(raw, dict):
            return raw
        found = dict(raw)
        for key in ("device", "cores"):
            if isinstance(found.get(key), int) and not isinstance(found[key], bool):
                found[key] = str(found[key])
        if isinstance(found.get("models"), dict):
            found["models"] = {stage: _names(models) for stage, models in found["models"].items()}
        return with_paths(found, "data", "log", "backups", "keys", "secrets")

    @field_validator("data", "log", "backups", "keys", "secrets")
    @classmethod
    def _plain_path(cls, value: Path | None) -> Path | None:
        return value if value is None else plain_path(value)

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: str) -> str:
        match = _MEMORY.fullmatch(value)
        if match is None:
            raise ValueError("a size such as 1500MiB or 4GiB is expected")
        if _bytes(match) < LEAST_MEMORY:
            raise ValueError(f"at least {LEAST_MEMORY >> 20}MiB is expected")
        return value

    @field_validator("database")
    @classmethod
    def _url(cls, value: str) -> str:
        if _PASSWORD.search(value):
            raise PydanticCustomError(HIDDEN, "its password has to stand in the file `secrets`")
        if value and not _DATABASE.fullmatch(value):
            raise ValueError("sqlite:////FOLDER/FILE, postgresql://... or mysql://... is expected")
        return value

    @field_validator("cores")
    @classmethod
    def _cores(cls, value: str) -> str:
        for part in filter(None, value.split(",")):
            first, _, last = part.partition("-")
            if int(last or first) < int(first) or int(last or first) > _MOST_CORE:
                raise ValueError(f"{part!r} is no range of cores")
        return value

    @property
    def memory_bytes(self) -> int:
        """The memory of all its processes together."""
        match = _MEMORY.fullmatch(self.memory)
        return _bytes(match) if match else 0

    @property
    def core_numbers(self) -> list[int]:
        """The cores that its processes run on, in order; empty for all."""
        found: set[int] = set()
        for part in filter(None, self.cores.split(",")):
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
        return sorted(found)

    @property
    def unit_name(self) -> str:
        """The name without dashes, which part a slice from the slice around it in systemd."""
        return self.name.replace("-", "_")


def with_paths(raw: Any, *keys: str) -> Any:
    """A section with the texts at some of its keys as paths."""
    if not isinstance(raw, dict):
        return raw
    return {k: Path(v) if k in keys and isinstance(v, str) else v for k, v in raw.items()}


def plain_path(value: Path) -> Path:
    """The path. Raises ValueError for one that could mean more than a path in another's file."""
    if not _PATH.fullmatch(str(value)):
        raise ValueError("a path of letters, digits and _ . / @ + - is expected")
    return value


def _names(models: Any) -> Any:
    if isinstance(models, str):
        return (models,)
    return tuple(models) if isinstance(models, list) else models


def _bytes(match: re.Match[str]) -> int:
    return int(match[1]) * _UNITS[match[2]]
