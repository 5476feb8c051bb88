"""A service without pipelines of its own: a gateway to those of another machine."""

from __future__ import annotations

import httpx
import pytest
import yaml

from settings.config import ConfigError, load_config
from tests.support.pictures import ONE
from tests.support.service import Service, is_free


def test_a_gateway_alone_asks_the_pipelines_of_others(service, tmp_path):
    def change(settings):
        settings.update(replicas=0)
        settings["gateway"]["pipelines"] = [f"127.0.0.1:{service.rpc_port}"]

    one = Service(tmp_path, change, gateway=True).start()
    try:
        assert len(one.processes()) == 2
        assert is_free(one.http_port)
        assert [line for line in one.output if line.startswith("ready")] == [
            f"ready: REST {one.gateway_url}\n"
        ]
        url = f"{one.gateway_url}/face-api/v3/face/detect"
        answer = httpx.post(url, json={"image": ONE, "image_type": "BASE64"}, timeout=60)
        assert answer.json()["error_code"] == 0
        assert one.stop() == 0
    finally:
        one.kill()


@pytest.mark.parametrize("gateway", [{"port": 0}, {"pipelines": []}])
def test_without_anybody_to_ask_it_is_refused(tmp_path, gateway):
    one = Service(tmp_path, lambda settings: settings.update(replicas=0), gateway=True)
    text = one.config.read_text()
    settings = yaml.safe_load(text)
    settings["gateway"].update({"pipelines": ["127.0.0.1:1"], **gateway})
    one.config.write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match="replicas: 0 is not allowed"):
        load_config(one.config)
