"""Which part of the service runs here: all of it, or one where the other is elsewhere."""

from __future__ import annotations

from enum import StrEnum

from settings.config import Config, ConfigError


class Role(StrEnum):
    """all: as the settings say. pipeline: without the gateway. gateway: without a pipeline."""

    ALL = "all"
    PIPELINE = "pipeline"
    GATEWAY = "gateway"


def with_role(config: Config, role: Role) -> Config:
    """The settings as they are for a role: one file serves machines of different roles.

    Without a gateway its port is 0, without a pipeline there are 0 replicas.
    Raises ConfigError where they do not go with it.
    """
    if role is Role.PIPELINE:
        return config.model_copy(update={"gateway": config.gateway.model_copy(update={"port": 0})})
    if role is Role.GATEWAY:
        for key, value in (
            ("port", config.gateway.port),
            ("pipelines", list(config.gateway.pipelines)),
        ):
            if not value:
                raise ConfigError(
                    f"{config.path}: gateway.{key}: {value} is not allowed with --role gateway"
                )
        return config.model_copy(update={"replicas": 0})
    return config
