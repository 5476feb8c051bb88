"""Which changes of settings a running service takes over, and which processes they concern."""

from __future__ import annotations

import pytest

from runtime.renewal import check_renewal, concerns_gateway
from settings.config import Config, ConfigError, load_config
from tests.support.service import ROOT

CONFIG = load_config(ROOT / "config.yml")


def changed(section: str = "", **values) -> Config:
    if not section:
        return CONFIG.model_copy(update=values)
    return CONFIG.model_copy(update={section: getattr(CONFIG, section).model_copy(update=values)})


def with_stage(name: str, **values) -> Config:
    return changed(op={**CONFIG.op, name: CONFIG.op[name].model_copy(update=values)})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed(rpc_port=1), "rpc_port: changed"),
        (changed(replicas=3), "replicas: changed"),
        (changed("gateway", host="0.0.0.0"), "gateway.host: changed"),
        (changed("log", dir="elsewhere"), "log.dir: changed"),
        (changed("gateway", token_file="other.db"), "gateway.token_file: changed"),
        (changed("library", database="sqlite:///other.db"), "library.database or"),
        (changed(http_port=1, rpc_port=2), "rpc_port, http_port: changed"),
    ],
)
def test_ports_and_data_need_a_new_start(config, said):
    with pytest.raises(ConfigError, match=said):
        check_renewal(CONFIG, config)


def test_everything_else_can_be_taken_over():
    for config in (
        with_stage("Detection", models=("other",)),
        with_stage("ArcFace", batch_size=1),
        changed("limits", queue_length=3),
        changed("gateway", rate_limit=5.0),
        changed("library", database_timeout_s=1.0),
        changed(cores=1),
    ):
        check_renewal(CONFIG, config)


@pytest.mark.parametrize(
    ("config", "concerned"),
    [
        (CONFIG, False),
        (with_stage("Detection", models=("other",)), False),
        (with_stage("Landmark", threads=2), False),
        (changed(reduce_jpegs_to=1280), False),
        (with_stage("ArcFace", models=("other",)), True),
        (with_stage("Liveness", models=("liveness",)), True),
        (changed("gateway", threads=1), True),
        (changed("limits", faces=1), True),
    ],
)
def test_the_gateway_is_left_alone_by_what_it_does_not_read(config, concerned):
    assert concerns_gateway(CONFIG, config) == concerned
