"""The processes of a service: what each runs, and what it is called in messages and logs."""

from __future__ import annotations

from runtime.child import Program
from settings.config import Config

GATEWAY = "gateway"


def pipeline_title(config: Config, replica: int) -> str:
    """What a pipeline's process is called in messages and logs."""
    return f"pipeline {replica}" if config.replicas > 1 else "pipeline"


def programs(config: Config) -> list[Program]:
    """The children of a service: a pipeline a replica, and the gateway."""
    found = []
    for replica in range(config.replicas):
        title = pipeline_title(config, replica)
        found.append(Program(title, "ops.serving", (str(config.path), str(replica))))
    if config.gateway.port:
        found.append(Program(GATEWAY, "gateway.server", (str(config.path),)))
    return found
