"""What the trace does not say: the ops' settings and the machine they run on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inference.manifest import Manifest, ManifestError
from settings.config import Config, ConfigError
from settings.dag import OpConfig

_CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")  # "QUOTA PERIOD" in microseconds, or "max PERIOD"


@dataclass(frozen=True)
class OpSettings:
    """An op's section of config.yml, as far as it matters here.

    concurrency: threads of the op in one process. batch_size: most requests in a batch.
    threads: math threads of each. devices: GPU numbers, none for the CPU. max_batch: samples that
    the op's models take in one run, 0 for any number. model: the op runs one.
    """

    concurrency: int = 1
    batch_size: int = 1
    threads: int = 1
    devices: tuple[str, ...] = ()
    max_batch: int = 0
    model: bool = True

    @property
    def on_cpu(self) -> bool:
        return not self.devices


@dataclass(frozen=True)
class Setup:
    """Settings and machine. None, and ops that are missing: not known.

    cores: processor cores that the service may use. interval_s: seconds between two blocks.
    queue_length: most requests in a process at a time. replicas: processes side by side.
    """

    ops: Mapping[str, OpSettings] = field(default_factory=dict)
    cores: int | None = None
    interval_s: float | None = None
    queue_length: int | None = None
    replicas: int | None = None


def setup_of(config: Config | None, cores: int | None) -> Setup:
    """The part of a configuration that matters here; nothing where there is no config.yml."""
    if config is None:
        return Setup(cores=cores)
    return Setup(
        {name: _op_settings(config, name, op) for name, op in config.op.items()},
        cores,
        float(config.dag.tracer.interval_s) or None,
        config.limits.queue_length,
        config.replicas,
    )


def _op_settings(config: Config, name: str, op: OpConfig) -> OpSettings:
    devices = tuple(op.devices.split(",")) if op.devices else ()
    try:
        limits = [Manifest.load(path).max_batch for path in config.chosen_models(name)]
    except (ConfigError, ManifestError):
        limits = []  # the trace may have come from a machine that has the models
    max_batch = max(limits) if limits and all(limits) else 0
    return OpSettings(
        op.concurrency, op.batch_size, op.threads, devices, max_batch, bool(op.models)
    )


def cores_here() -> int:
    """Cores that a process started here may use: its affinity, or less where a cgroup limits it."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CGROUP_CPU.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no cgroup v2 here
    return cores
