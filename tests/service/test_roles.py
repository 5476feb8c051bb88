"""The pipeline and the gateway as services of their own."""

from __future__ import annotations

import signal

import httpx
import yaml

from tests.support import pictures
from tests.support.gateway.client import DETECT
from tests.support.service import is_free, wait_until

ONE = pictures.base64_of(pictures.encode(pictures.astronaut()))


def test_a_gateway_and_a_pipeline_alone_work_together_take_settings_over_and_end(
    make_service,
):
    pipeline = make_service(gateway=True, role="pipeline")
    assert [p for p in pipeline.processes() if "gateway.server" in p.cmdline()] == []
    assert is_free(pipeline.gateway_port)

    def point(settings):
        settings["gateway"]["pipelines"] = [f"127.0.0.1:{pipeline.rpc_port}"]
        # Those of the pipeline, which are taken: a gateway has no use for them.
        settings.update(rpc_port=pipeline.rpc_port, http_port=pipeline.http_port)

    gateway = make_service(point, gateway=True, role="gateway")
    assert [p for p in gateway.processes() if "ops.serving" in p.cmdline()] == []
    assert any(f"ready: REST {gateway.gateway_url}" in line for line in gateway.output)

    def health():
        return httpx.get(f"{gateway.gateway_url}/health", trust_env=False).status_code

    answer = httpx.post(
        f"{gateway.gateway_url}{DETECT}",
        json={"image": ONE, "image_type": "BASE64"},
        timeout=60,
        trust_env=False,
    )
    assert answer.json()["error_code"] == 0
    assert answer.json()["result"]["face_num"] == 1
    settings = yaml.safe_load(gateway.config.read_text())
    settings["gateway"]["requests"] = 100
    gateway.config.write_text(yaml.safe_dump(settings))
    gateway.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: any("taken over" in line for line in gateway.output), 150)
    assert "web_service: settings taken over\n" in gateway.output
    assert pipeline.stop() == 0
    assert wait_until(lambda: health() == 503, 30)
    assert gateway.stop() == 0
