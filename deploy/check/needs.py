"""What this server is to carry: ports, folders, devices; of the settings, or what they would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from settings.config import Config

ALL, PIPELINE, GATEWAY = "all", "pipeline", "gateway"
# Addresses of this machine alone.
_LOOPBACK = ("127.", "::1", "localhost", "::ffff:127.")
# Addresses that stand for every address of the machine.
ANY = ("0.0.0.0", "::", "*", "")  # noqa: S104 - looked for, not listened on


@dataclass(frozen=True)
class Place:
    """A port that has to be free. key: the setting that names it. tenant: whose, or ""."""

    key: str
    host: str
    port: int
    tenant: str = ""

    @property
    def is_wide(self) -> bool:
        """Whether other machines can reach it."""
        return not is_loopback(self.host)

    def is_of(self, settings: Path, config: Path) -> bool:
        """Whether a service with these settings is whom the port is for. config: the server's.

        A tenant's settings have its name in their path, wherever they are kept.
        """
        if self.tenant:
            return self.tenant in (*settings.parts, settings.stem)
        return settings == config


@dataclass(frozen=True)
class TenantNeeds:
    """What a tenant file asks for one tenant. Empty for what it leaves open.

    devices: UUIDs of MIG instances and of GPUs, or GPU indexes. cores: numbers of processors.
    memory: bytes. folders: what is kept there to its path.
    """

    name: str
    places: tuple[Place, ...] = ()
    devices: tuple[str, ...] = ()
    cores: frozenset[int] = frozenset()
    memory: int = 0
    folders: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """What this server is to carry.

    role: all, pipeline or gateway. root: of the repository. config: the settings' file.
    places: to listen on. folders: what is kept there to its path. devices: GPU indexes and MIG
    UUIDs. gpu: whether one is asked for; None where nobody has said yet. sqlite: whether the
    database is a file of this machine. replicas: of the pipeline, 0 where nobody has said yet.
    tenants: of a tenant file.
    """

    role: str = ALL
    root: Path = Path()
    config: Path = Path("config.yml")
    places: tuple[Place, ...] = ()
    folders: Mapping[str, Path] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    gpu: bool | None = None
    sqlite: bool = True
    replicas: int = 0
    tenants: tuple[TenantNeeds, ...] = ()

    @property
    def all_devices(self) -> tuple[str, ...]:
        """The settings' and every tenant's, each once."""
        named = [*self.devices, *(device for one in self.tenants for device in one.devices)]
        return tuple(dict.fromkeys(named))

    @property
    def all_places(self) -> tuple[Place, ...]:
        """The settings' and every tenant's."""
        return (*self.places, *(place for one in self.tenants for place in one.places))

    def of(self, tenants: tuple[TenantNeeds, ...]) -> Needs:
        """What the server needs for tenants, who run in place of a service of the settings."""
        folders = {name: path for name, path in self.folders.items() if name == "models"}
        return replace(self, places=(), folders=folders, replicas=0, tenants=tenants)


def has_role(role: str, roles: tuple[str, ...]) -> bool:
    """Whether something for these roles matters on a server of a role."""
    return role == ALL or role in roles


def is_loopback(host: str) -> bool:
    """Whether what listens there is reached by programs of this machine alone."""
    return host.startswith(_LOOPBACK)


def usual(role: str, root: Path, config: Path, defaults: Mapping[str, Any]) -> Needs:
    """What an installation that changes nothing needs; before there is one."""
    places = [Place(key, "127.0.0.1", port) for key, port in defaults["ports"].items()]
    folders = {name: root / path for name, path in defaults["folders"].items()}
    return _of_role(Needs(role, root, config, tuple(places), folders))


def of_settings(role: str, root: Path, config: Config) -> Needs:
    """What the settings need."""
    library = config.library_config()
    file = library.database_file()
    folders = {"models": config.path.parent / config.models_dir, "logs": config.log_dir()}
    folders["data"] = (file or config.token_file()).parent
    snapshots = library.snapshot_dir()
    if snapshots is not None and library.index.kind != "milvus":
        folders["snapshots"] = snapshots
    devices = dict.fromkeys(d for op in config.op.values() for d in op.devices.split(",") if d)
    places = (
        Place("rpc_port", config.rpc_host, config.rpc_port),
        Place("http_port", config.http_host, config.http_port),
        Place("gateway.port", config.gateway.host, config.gateway.port),
    )
    return _of_role(
        Needs(
            role, root, config.path, tuple(place for place in places if place.port), folders,
            tuple(devices), bool(devices) and role != GATEWAY, file is not None, config.replicas,
        )
    )  # fmt: skip


def _of_role(needs: Needs) -> Needs:
    """Without what the server's role has no use for."""
    if needs.role == ALL:
        return needs
    is_gateway = needs.role == GATEWAY
    places = tuple(one for one in needs.places if one.key.startswith("gateway.") == is_gateway)
    left_out = () if is_gateway else ("data", "snapshots")
    folders = {name: path for name, path in needs.folders.items() if name not in left_out}
    devices = () if is_gateway else needs.devices
    sqlite = needs.sqlite and is_gateway
    return replace(needs, places=places, folders=folders, devices=devices, sqlite=sqlite)
