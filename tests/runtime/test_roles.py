"""Parts of the service on machines of their own, from one file of settings."""

from __future__ import annotations

import pytest

from runtime.programs import programs
from runtime.roles import Role, with_role
from settings.config import ConfigError, load_config
from tests.support.service import ROOT


@pytest.fixture
def config():
    return load_config(ROOT / "config.yml")


def with_gateway(config, **settings):
    return config.model_copy(update={"gateway": config.gateway.model_copy(update=settings)})


def titles(config, role):
    return [program.title for program in programs(with_role(config, role))]


def test_a_role_starts_its_part_alone(config):
    apart = with_gateway(config, pipelines=("pipeline.example:18091",))
    assert titles(apart, Role.ALL) == ["pipeline", "gateway"]
    assert titles(apart, Role.PIPELINE) == ["pipeline"]
    assert titles(apart, Role.GATEWAY) == ["gateway"]


def test_a_gateway_alone_has_to_know_its_pipelines(config):
    with pytest.raises(ConfigError, match=r"gateway\.pipelines: \[\] is not allowed with --role"):
        with_role(config, Role.GATEWAY)


def test_a_gateway_alone_has_to_have_a_port(config):
    off = with_gateway(config, port=0, pipelines=("pipeline.example:18091",))
    with pytest.raises(ConfigError, match=r"gateway\.port: 0 is not allowed with --role"):
        with_role(off, Role.GATEWAY)
