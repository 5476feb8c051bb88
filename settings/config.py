"""``config.yml``: read once into frozen objects, wrong values refused with the key's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from settings import device_names
from settings.dag import OpConfig, check_ops
from settings.gateway import GatewayConfig
from settings.library import LibraryConfig
from settings.licences import COMMERCIAL, licence_of
from settings.section import Section
from settings.stock_config import stock_keys_explained
from settings.yaml_file import YamlError, parse_as_written, parse_yaml, read_content

# Characters of a wrong value, which may be a whole section, in the line that tells of it.
_LONGEST_VALUE = 200
# Whose values may hold a password, which no message repeats.
_SECRET = ("library.database", "library.index.milvus_uri", "library.index.milvus_token")


class ConfigError(ValueError):
    """A setting that cannot be used; the text names file, key, value and what is allowed."""


class Limits(Section):
    """Limits on input; over one of them a request is refused at once.

    picture_bytes, picture_pixels: of one picture. request_pictures: pictures a request.
    request_bytes: of the whole gRPC message. faces: most faces a picture.
    request_timeout_ms: from arrival to answer. queue_length: requests in the service.
    pixels_in_memory: decoded pixels of all requests together, at least one picture's.
    searched_pixels: of the detector's input, in the search of a picture for small faces.
    upload_bytes: of all HTTP requests, from their first byte to the answer; as many of all
    messages that are being received over gRPC.
    """

    picture_bytes: int = Field(16 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    picture_pixels: int = Field(50_000_000, ge=1, le=1_000_000_000)
    request_pictures: int = Field(16, ge=1, le=1024)
    request_bytes: int = Field(64 * 1024 * 1024, ge=1024, le=1024 * 1024 * 1024)
    faces: int = Field(100, ge=1, le=1000)
    request_timeout_ms: int = Field(30_000, ge=10, le=3_600_000)
    queue_length: int = Field(64, ge=1, le=4096)
    pixels_in_memory: int = Field(100_000_000, ge=1, le=10_000_000_000)
    searched_pixels: int = Field(48_000_000, ge=1_000_000, le=10_000_000_000)
    upload_bytes: int = Field(256 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024 * 1024)


class Tracer(Section):
    """interval_s: seconds between two entries of pipeline.tracer; 0 switches it off."""

    interval_s: int = Field(10, ge=0, le=3600)


class Dag(Section):
    """tracer: what Paddle Serving writes about its DAG."""

    tracer: Tracer = Tracer()


class Log(Section):
    """Where, how and how much is logged; each file is rotated at `max_bytes`, `backups` are kept.

    format: of the lines of pipeline.log, pipeline.log.wf and gateway.log.
    """

    dir: str = Field(".", min_length=1)
    level: str = "INFO"
    format: str = Field("text", pattern="^(text|json)$")
    max_bytes: int = Field(10_000_000, ge=10_000)
    backups: int = Field(5, ge=1, le=100)

    @field_validator("level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("one of DEBUG, INFO, WARNING, ERROR is expected")
        return value


class Tracing(Section):
    """Traces of requests, sent in OpenTelemetry's form (OTLP over HTTP).

    endpoint: URL of the receiver; empty: no traces. sample_ratio: share of the requests that are
    traced, of those that come without a trace of their own. service_name: what they are shown as.
    """

    endpoint: str = Field("", pattern=r"^(https?://[^/\s]+(/\S*)?)?$")
    sample_ratio: float = Field(1.0, ge=0.0, le=1.0, strict=False)
    service_name: str = Field("face-serving", min_length=1)


class Config(Section):
    """All settings. `path` is the file they came from; relative paths start at its folder."""

    path: Path = Path("config.yml")
    name: str = Field("ArcFace", pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    rpc_host: str = Field("127.0.0.1", min_length=1)
    rpc_port: int = Field(18091, ge=1, le=65535)
    http_host: str = Field("127.0.0.1", min_length=1)
    http_port: int = Field(9998, ge=0, le=65535)
    replicas: int = Field(1, ge=0, le=64)
    cores: int = Field(0, ge=0, le=1024)
    models_dir: str = "models"
    licence: str = Field("any", pattern="^(any|commercial)$")
    reduce_jpegs_to: int = Field(1920, ge=0, le=65535)
    limits: Limits = Limits()
    dag: Dag = Dag()
    log: Log = Log()
    tracing: Tracing = Tracing()
    library: LibraryConfig = LibraryConfig()
    gateway: GatewayConfig = GatewayConfig()
    op: dict[str, OpConfig]

    def library_config(self) -> LibraryConfig:
        """The section `library`, its relative paths starting at the file's folder."""
        return self.library.model_copy(update={"folder": self.path.parent})

    def token_file(self) -> Path:
        """Where the gateway keeps the tokens of detected faces."""
        return self.path.parent / self.gateway.token_file

    def model_dir(self, name: str) -> Path:
        """Directory of a model named in the file."""
        return self.path.parent / self.models_dir / name

    def log_dir(self, replica: int = 0) -> Path:
        """Where a replica's PipelineServingLogs/ goes; they cannot share files."""
        directory = self.path.parent / self.log.dir
        return directory / f"replica-{replica}" if replica else directory

    def identifiers(self, replica: int = 0) -> list[str]:
        """The GPUs that a replica's stages have, as `devices` names them, each once."""
        each = [one for op in self.op.values() for one in op.identifiers(replica)]
        return list(dict.fromkeys(each))

    def visible_devices(self, replica: int = 0) -> str | None:
        """CUDA_VISIBLE_DEVICES for a replica whose GPUs are named by UUIDs; None otherwise.

        The process then has them as 0, 1 and so on, in this order.
        """
        found = self.identifiers(replica)
        return ",".join(found) if found and device_names.is_uuid(found[0]) else None

    def chosen_models(self, stage: str) -> list[Path]:
        """Directories of the models that a stage runs, its fallback where that is needed.

        Raises ConfigError when a model has not been converted, or its licence is not `licence`.
        """
        op = self.op[stage]
        chosen = []
        for name in op.models:
            names = [name, *op.fallback]
            there = [n for n in names if (self.model_dir(n) / "model.yml").is_file()]
            found = [n for n in there if not self.refuses(n)]
            if there and not found:
                raise ConfigError(
                    f"{self.path}: op.{stage}: model {there[0]} is refused by licence: "
                    f"{self.licence}, it is under {licence_of(self.model_dir(there[0]))[0]}; "
                    f"make what takes its place with: make setup LICENCE={self.licence}"
                )
            if not found:
                raise ConfigError(
                    f"{self.path}: op.{stage}: model {name} is not in {self.model_dir(name)}; "
                    f"make it with: .venv/bin/python -m convert {name}"
                )
            chosen.append(self.model_dir(found[0]))
        if op.smallest_face and self.small_faces_model(stage) is None:
            raise ConfigError(
                f"{self.path}: op.{stage}.smallest_face: {op.smallest_face} needs the model "
                f"{op.small_faces}, which has not been converted or is refused by its licence; "
                f"make it with: .venv/bin/python -m convert {op.small_faces}"
            )
        return chosen

    def small_faces_model(self, stage: str = "Detection") -> Path | None:
        """Directory of the model that searches for small faces; None where there is none."""
        name = self.op[stage].small_faces if stage in self.op else ""
        if not name or not (self.model_dir(name) / "model.yml").is_file() or self.refuses(name):
            return None
        return self.model_dir(name)

    def refuses(self, name: str) -> bool:
        """Whether `licence` forbids to run a model that has been converted."""
        return self.licence == COMMERCIAL and not licence_of(self.model_dir(name))[1]


def own_address(host: str, port: int) -> str:
    """HOST:PORT of a service on this machine by what it listens on."""
    return f"{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104


def load_config(path: str | Path = "config.yml") -> Config:
    """Read and check a configuration file.

    Raises ConfigError with one line that names the file, the key, the value and what is
    allowed.
    """
    path = Path(path)
    try:
        content = read_content(path)
        raw = parse_yaml(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a mapping of settings is expected")
    if explained := stock_keys_explained(raw):
        raise ConfigError(f"{path}: {explained}")
    try:
        config = _validated(path, raw, content)
    except ValidationError as error:
        raise ConfigError(_first_problem(path, error)) from None
    _check_limits(config)
    _check_pipelines(config)
    try:
        check_ops(config.op)
        device_names.check(
            {name: op.devices for name, op in config.op.items()},
            [config.identifiers(replica) for replica in range(config.replicas)],
        )
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    _check_ports(config)
    return config


def _validated(path: Path, raw: dict[str, Any], content: bytes) -> Config:
    """The settings, and where text is expected that YAML 1.1 takes for something else, the text.

    `on`, `no`, 0123 and 1.50 are such; what was written is meant.
    """
    try:
        return Config.model_validate({**_with_tuples(raw), "path": path.resolve()})
    except ValidationError as error:
        problems = error.errors(include_url=False)
    written = parse_as_written(content)
    for problem in problems:
        if problem["type"] == "string_type" and isinstance(problem["input"], (bool, int, float)):
            _take_as_written(raw, written, problem["loc"])
    return Config.model_validate({**_with_tuples(raw), "path": path.resolve()})


def _take_as_written(raw: Any, written: Any, key: tuple[int | str, ...]) -> None:
    for name in key[:-1]:
        if not (isinstance(raw, dict) and isinstance(written, dict) and name in raw):
            return
        raw, written = raw[name], written.get(name)
    name = key[-1]
    if isinstance(raw, dict) and isinstance(written, dict) and isinstance(written.get(name), str):
        raw[name] = written[name]


def _with_tuples(raw: dict[str, Any]) -> dict[str, Any]:
    """YAML's lists as tuples; `model: x` as `models: [x]`, `fallback: x` as a list of one.

    An empty section is an empty one.
    """
    ops = raw.get("op")
    if not isinstance(ops, dict):
        return raw
    sections: dict[str, Any] = {}
    for name, section in ops.items():
        if section is None:
            section = {}
        if isinstance(section, dict):
            section = dict(section)
            if "model" in section and "models" not in section:
                section["models"] = [section.pop("model")]
            if isinstance(section.get("fallback"), str):
                section["fallback"] = [section["fallback"]]
            elif section.get("fallback", ()) is None:
                section["fallback"] = []
            for key in ("inputs", "models", "fallback", "weights"):
                if isinstance(section.get(key), list):
                    section[key] = tuple(section[key])
        sections[str(name)] = section
    return {**raw, "op": sections}


def _first_problem(path: Path, error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{path}: {key}: unknown key"
    if problem["type"] == "missing":
        return f"{path}: {key}: missing"
    value = "what stands there" if key in _SECRET else f"{problem['input']!r:.{_LONGEST_VALUE}}"
    return f"{path}: {key}: {value} is not allowed: {problem['msg']}"


def _check_limits(config: Config) -> None:
    limits = config.limits
    if limits.pixels_in_memory < limits.picture_pixels:
        raise ConfigError(
            f"{config.path}: limits.pixels_in_memory: {limits.pixels_in_memory} is not allowed: "
            f"a single picture may have {limits.picture_pixels} (limits.picture_pixels)"
        )


def _check_pipelines(config: Config) -> None:
    """Without pipelines of its own a service is a gateway to those of other machines."""
    if config.replicas == 0 and not (config.gateway.port and config.gateway.pipelines):
        raise ConfigError(
            f"{config.path}: replicas: 0 is not allowed: without pipelines of its own a service "
            "needs gateway.port, and gateway.pipelines of other machines"
        )


def _check_ports(config: Config) -> None:
    taken = {config.rpc_port: "rpc_port"}
    for key, port in (("http_port", config.http_port), ("gateway.port", config.gateway.port)):
        if port in taken:
            raise ConfigError(
                f"{config.path}: {key}: {port} is not allowed: {taken[port]} has it already"
            )
        if port:
            taken[port] = key
