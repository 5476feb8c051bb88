"""The tenant file: which services share a machine, and what each of them has for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from deploy.tenants.tenant import HIDDEN, Tenant, plain_path, with_paths
from settings.config import Config, ConfigError, load_config
from settings.section import Section
from settings.yaml_file import YamlError, read_yaml

ROOT = Path(__file__).resolve().parents[2]
_MOST_TENANTS = 64
_LONGEST_VALUE = 200
_FOLDERS = ("data", "log", "backups")
_PARTS = (*_FOLDERS, "keys")


class Proxy(Section):
    """The reverse proxy in front of all tenants.

    server_name: of its certificate. port: where it listens, with TLS. certificate,
    certificate_key: PEM files.
    """

    server_name: str = Field("_", pattern=r"^(_|[A-Za-z0-9.-]{1,253})$")
    port: int = Field(443, ge=1, le=65535)
    certificate: Path = Path("/etc/face-serving/tls/certificate.pem")
    certificate_key: Path = Path("/etc/face-serving/tls/key.pem")

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, raw: Any) -> Any:
        return with_paths(raw, "certificate", "certificate_key")

    @field_validator("certificate", "certificate_key")
    @classmethod
    def _plain_path(cls, value: Path) -> Path:
        return plain_path(value)


class TenantFile(Section):
    """All tenants of a machine. Paths are absolute once the file is loaded.

    path: of the file. config: the settings that every tenant starts from. run: folder of the
    processes' settings, locks and states. user: that systemd runs tenants as. image: for
    containers.
    """

    path: Path = Path("tenants.yml")
    config: Path = ROOT / "config.yml"
    run: Path = Path("tenants/run")
    user: str = Field("face-serving", pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    image: str = Field("face-serving:cpu", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$")
    proxy: Proxy = Proxy()
    tenants: tuple[Tenant, ...] = Field(min_length=1, max_length=_MOST_TENANTS)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, raw: Any) -> Any:
        return with_paths(raw, "config", "run")

    @field_validator("config", "run")
    @classmethod
    def _plain_path(cls, value: Path) -> Path:
        return plain_path(value)

    def tenant(self, name: str) -> Tenant:
        """One by its name. Raises ConfigError that names those that there are."""
        for one in self.tenants:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.tenants)
        raise ConfigError(f"{self.path}: there is no tenant {name!r}; there are {known}")

    def base(self) -> Config:
        """The settings that every tenant starts from. Raises ConfigError."""
        return load_config(self.config)


def load_tenants(path: str | Path) -> TenantFile:
    """Read and check a tenant file; relative paths start at its folder.

    Raises ConfigError with one line that names the file, the key, the value and what is allowed.
    """
    path = Path(path)
    try:
        raw = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    return checked(path, raw)


def checked(path: Path, raw: Any) -> TenantFile:
    """What stands in a tenant file at this path. Raises ConfigError as `load_tenants` does."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a mapping with the list `tenants` is expected")
    if isinstance(raw.get("tenants"), list):
        raw["tenants"] = tuple(raw["tenants"])
    try:
        found = TenantFile.model_validate({**raw, "path": path.resolve()})
    except ValidationError as error:
        raise ConfigError(_first_problem(path, raw, error)) from None
    found = _absolute(found)
    for problem in _clashes(found):
        raise ConfigError(f"{path}: {problem}")
    return found


def _absolute(file: TenantFile) -> TenantFile:
    """Every path from the file's folder on, and what is left out below `tenants/NAME/` there."""
    folder = file.path.parent
    tenants = []
    for one in file.tenants:
        own = folder / "tenants" / one.name
        data = folder / (one.data if one.data != Path() else own / "data")
        paths: dict[str, Any] = {
            "data": data, "log": own / "log", "backups": data / "backups", "keys": own / "admin.key"
        }  # fmt: skip
        paths = {
            key: folder / given if (given := getattr(one, key)) != Path() else default
            for key, default in paths.items()
        }
        if one.secrets is not None:
            paths["secrets"] = folder / one.secrets
        tenants.append(one.model_copy(update=paths))
    proxy = {
        "certificate": folder / file.proxy.certificate,
        "certificate_key": folder / file.proxy.certificate_key,
    }
    update = {
        "config": folder / file.config,
        "run": folder / file.run,
        "proxy": file.proxy.model_copy(update=proxy),
        "tenants": tuple(tenants),
    }
    return file.model_copy(update=update)


def _clashes(file: TenantFile) -> Iterator[str]:
    """What two tenants may not share, as sentences."""
    yield from _same(file, "name", lambda one: {"": one.name})
    yield from _same(file, "ports", _ports)
    for part in _PARTS:
        yield from _same(file, part, lambda one, part=part: {"": getattr(one, part)})  # type: ignore[misc]
    yield from _same(file, "database", lambda one: {"": one.database} if one.database else {})
    yield from _nested(file)
    for one, other in _pairs(file):
        may = one.shared_device and other.shared_device
        if one.device and one.device == other.device and not may:
            yield _sentence(other, "device", other.device, one, "shared_device: true at both")
        both = sorted(set(one.core_numbers) & set(other.core_numbers))
        if both and not (one.shared_cores and other.shared_cores):
            yield _sentence(other, "cores", other.cores, one, "shared_cores: true at both")


def _ports(one: Tenant) -> dict[str, int]:
    ports = one.ports
    return {".pipeline_http": ports.pipeline_http, ".pipeline_rpc": ports.pipeline_rpc,
            ".gateway": ports.gateway}  # fmt: skip


def _same(
    file: TenantFile, key: str, values: Callable[[Tenant], Mapping[str, object]]
) -> Iterator[str]:
    taken: dict[object, Tenant] = {}
    for one in file.tenants:
        for part, value in values(one).items():
            if value in taken:
                yield _sentence(one, key + part, value, taken[value])
            taken[value] = one


def _nested(file: TenantFile) -> Iterator[str]:
    """Folders within another tenant's."""
    for one, other in _pairs(file):
        for first, second in ((one, other), (other, one)):
            for part in _FOLDERS:
                inner: Path = getattr(first, part)
                for outer in (getattr(second, name) for name in _FOLDERS):
                    if inner != outer and outer in inner.parents:
                        yield _sentence(first, part, inner, second)


def _pairs(file: TenantFile) -> Iterator[tuple[Tenant, Tenant]]:
    for number, other in enumerate(file.tenants):
        for one in file.tenants[:number]:
            yield one, other


def _sentence(one: Tenant, key: str, value: object, holder: Tenant, unless: str = "") -> str:
    text = f"tenants.{one.name}.{key}: {str(value)!r} is not allowed: {holder.name} has it"
    return f"{text}; it can be shared with {unless}" if unless else text


def _first_problem(path: Path, raw: dict[str, Any], error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = _key(raw, problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{path}: {key}: unknown key"
    if problem["type"] == "missing":
        return f"{path}: {key}: missing"
    if problem["type"] == HIDDEN:
        return f"{path}: {key}: not allowed: {problem['msg']}"
    value = f"{problem['input']!r:.{_LONGEST_VALUE}}"
    return f"{path}: {key}: {value} is not allowed: {problem['msg']}"


def _key(raw: dict[str, Any], place: tuple[int | str, ...]) -> str:
    """The dotted name of a place, tenants by their names where they have one."""
    parts = [str(part) for part in place]
    if len(place) > 1 and place[0] == "tenants" and isinstance(place[1], int):
        entry = raw["tenants"][place[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and place[2:] != ("name",):
            parts[1] = f"{name:.40}"
    return ".".join(parts)
