"""``config.yml``: read once into frozen objects, wrong values refused with the key's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from settings.gateway import GatewayConfig
from settings.library import LibraryConfig
from settings.stock_config import stock_keys_explained
from settings.yaml_file import YamlError, parse_as_written, parse_yaml, read_content

# What each stage needs upstream; the stages themselves are ops/<name in lower case>.py.
STAGE_NEEDS: dict[str, tuple[str, ...]] = {
    "Request": (),
    "Detection": ("Request",),
    "Landmark": ("Detection",),
    "ArcFace": ("Landmark",),
    "Attributes": ("Landmark",),
    "Liveness": ("Detection",),
    "Response": ("Detection",),
}
MODEL_STAGES = ("Detection", "Landmark", "ArcFace", "Attributes", "Liveness")


# Characters of a wrong value, which may be a whole section, in the line that tells of it.
_LONGEST_VALUE = 200


class ConfigError(ValueError):
    """A setting that cannot be used; the text names file, key, value and what is allowed."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class Limits(_Section):
    """Limits on input; over one of them a request is refused at once.

    picture_bytes, picture_pixels: of one picture. request_pictures: pictures a request.
    request_bytes: of the whole gRPC message. faces: most faces a picture.
    request_timeout_ms: from arrival to answer. queue_length: requests in the service.
    pixels_in_memory: decoded pixels of all requests together, at least one picture's.
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
    upload_bytes: int = Field(256 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024 * 1024)


class Tracer(_Section):
    """interval_s: seconds between two entries of pipeline.tracer; 0 switches it off."""

    interval_s: int = Field(10, ge=0, le=3600)


class Dag(_Section):
    """tracer: what Paddle Serving writes about its DAG."""

    tracer: Tracer = Tracer()


class Log(_Section):
    """Where and how much is logged; each file is rotated at `max_bytes`, `backups` are kept."""

    dir: str = Field(".", min_length=1)
    level: str = "INFO"
    max_bytes: int = Field(10_000_000, ge=10_000)
    backups: int = Field(5, ge=1, le=100)

    @field_validator("level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("one of DEBUG, INFO, WARNING, ERROR is expected")
        return value


class OpConfig(_Section):
    """One stage.

    inputs: stages whose output it takes. concurrency: threads, each with its own clone of
    the predictor. batch_size: model inputs a run. models: directories below `models_dir`,
    or paths. fallback: used instead of a single model that has not been converted.
    devices: "" for the CPU, else GPU numbers ("0" or "0,1"), shared out over the threads.
    threads: math threads a predictor on the CPU.
    """

    inputs: tuple[str, ...] = ()
    concurrency: int = Field(1, ge=1, le=64)
    batch_size: int = Field(1, ge=1, le=256)
    models: tuple[str, ...] = ()
    fallback: str | None = None
    devices: str = Field("", pattern=r"^(\d+(,\d+)*)?$")
    threads: int = Field(1, ge=1, le=256)

    def device(self, worker: int, replica: int = 0) -> str:
        """The device of a thread, "cpu" or "gpu:N"; replicas go on where the one before ended."""
        if not self.devices:
            return "cpu"
        numbers = self.devices.split(",")
        return f"gpu:{numbers[(replica * self.concurrency + worker) % len(numbers)]}"


class Config(_Section):
    """All settings. `path` is the file they came from; relative paths start at its folder."""

    path: Path = Path("config.yml")
    name: str = Field("ArcFace", pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    rpc_host: str = Field("127.0.0.1", min_length=1)
    rpc_port: int = Field(18091, ge=1, le=65535)
    http_host: str = Field("127.0.0.1", min_length=1)
    http_port: int = Field(9998, ge=0, le=65535)
    replicas: int = Field(1, ge=1, le=64)
    cores: int = Field(0, ge=0, le=1024)
    models_dir: str = "models"
    reduce_jpegs_to: int = Field(1920, ge=0, le=65535)
    limits: Limits = Limits()
    dag: Dag = Dag()
    log: Log = Log()
    library: LibraryConfig = LibraryConfig()
    gateway: GatewayConfig = GatewayConfig()
    op: dict[str, OpConfig]

    def library_config(self) -> LibraryConfig:
        """The section `library`, its relative paths starting at the file's folder."""
        return self.library.model_copy(update={"folder": self.path.parent})

    def model_dir(self, name: str) -> Path:
        """Directory of a model named in the file."""
        return self.path.parent / self.models_dir / name

    def log_dir(self, replica: int = 0) -> Path:
        """Where a replica's PipelineServingLogs/ goes; they cannot share files."""
        directory = self.path.parent / self.log.dir
        return directory / f"replica-{replica}" if replica else directory

    def chosen_models(self, stage: str) -> list[Path]:
        """Directories of the models that a stage runs, its fallback where that is needed.

        Raises ConfigError when a model has not been converted.
        """
        op = self.op[stage]
        chosen = []
        for name in op.models:
            names = [name] + ([op.fallback] if op.fallback else [])
            found = [n for n in names if (self.model_dir(n) / "model.yml").is_file()]
            if not found:
                raise ConfigError(
                    f"{self.path}: op.{stage}: model {name} is not in {self.model_dir(name)}; "
                    f"make it with: .venv/bin/python -m convert {name}"
                )
            chosen.append(self.model_dir(found[0]))
        return chosen


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
    if explained := stock_keys_explained(raw, tuple(STAGE_NEEDS)):
        raise ConfigError(f"{path}: {explained}")
    try:
        config = _validated(path, raw, content)
    except ValidationError as error:
        raise ConfigError(_first_problem(path, error)) from None
    _check_limits(config)
    _check_dag(config)
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
    """YAML's lists as tuples; `model: x` as `models: [x]`; an empty section as an empty one."""
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
            for key in ("inputs", "models"):
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
    value = f"{problem['input']!r:.{_LONGEST_VALUE}}"
    return f"{path}: {key}: {value} is not allowed: {problem['msg']}"


def _check_limits(config: Config) -> None:
    limits = config.limits
    if limits.pixels_in_memory < limits.picture_pixels:
        raise ConfigError(
            f"{config.path}: limits.pixels_in_memory: {limits.pixels_in_memory} is not allowed: "
            f"a single picture may have {limits.picture_pixels} (limits.picture_pixels)"
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


def _check_dag(config: Config) -> None:
    """The stages must form a DAG that Paddle Serving's channels can carry."""
    for name, op in config.op.items():
        _check_op(config, name, op)
    for name in ("Request", "Detection", "Response"):
        if name not in config.op:
            raise ConfigError(f"{config.path}: op.{name}: missing; the pipeline needs it")
    layers: dict[str, int] = {}
    for name in config.op:
        _layer(config, name, layers, ())
    consumed = {name for op in config.op.values() for name in op.inputs}
    for name in config.op:
        if name != "Response" and name not in consumed:
            raise ConfigError(f"{config.path}: op.{name}: no other op has it in its inputs")
    for name in config.op:
        missing = [need for need in STAGE_NEEDS[name] if need not in _ancestors(config, name)]
        if missing:
            raise ConfigError(
                f"{config.path}: op.{name}.inputs: {list(config.op[name].inputs)} is not allowed: "
                f"{missing[0]} has to run before it"
            )


def _check_op(config: Config, name: str, op: OpConfig) -> None:
    where = f"{config.path}: op.{name}"
    if name not in STAGE_NEEDS:
        raise ConfigError(f"{where}: unknown op; known are {', '.join(STAGE_NEEDS)}")
    for source in op.inputs:
        if source not in config.op:
            raise ConfigError(f"{where}.inputs: {source!r} is not allowed: there is no such op")
    if (not op.inputs) != (name == "Request"):
        raise ConfigError(
            f"{where}.inputs: {list(op.inputs)} is not allowed: "
            "Request has no inputs, every other op at least one"
        )
    if name in MODEL_STAGES and not op.models:
        raise ConfigError(f"{where}.model: missing")
    if name not in MODEL_STAGES and (op.models or op.devices):
        raise ConfigError(f"{where}: it runs no model, so model and devices are not allowed")
    if op.fallback and len(op.models) != 1:
        raise ConfigError(f"{where}.fallback: allowed beside a single model only")
    if name in ("Detection", "Landmark", "ArcFace") and len(op.models) != 1:
        raise ConfigError(f"{where}.models: {list(op.models)} is not allowed: it runs one model")


def _layer(config: Config, name: str, layers: dict[str, int], path: tuple[str, ...]) -> int:
    if name in path:
        raise ConfigError(f"{config.path}: op.{name}.inputs: the ops form a circle")
    if name not in layers:
        depths = {_layer(config, n, layers, (*path, name)) for n in config.op[name].inputs}
        if len(depths) > 1:
            # Paddle Serving 0.9 bridges layers with a VirtualOp whose thread dies at start.
            raise ConfigError(
                f"{config.path}: op.{name}.inputs: {list(config.op[name].inputs)} is not allowed: "
                "all inputs have to be equally far from Request"
            )
        layers[name] = 1 + max(depths, default=0)
    return layers[name]


def _ancestors(config: Config, name: str) -> set[str]:
    direct = set(config.op[name].inputs)
    return direct.union(*(_ancestors(config, parent) for parent in direct))
