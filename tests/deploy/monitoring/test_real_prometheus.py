"""A real Prometheus watches a real service: every panel has data, and an alert fires in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.monitoring.command import DASHBOARDS
from tests.deploy.monitoring.test_dashboards import expressions
from tests.deploy.monitoring.test_rules import alerts, rules
from tests.support.gateway.certificates import made_certificate, tls_server
from tests.support.gateway.client import FACE, NOBODY, App, version
from tests.support.processes.prometheus import Prometheus
from tests.support.service import Service, wait_until

TENANT = "attendance"
DOWN = {"FaceGatewayDown", "FaceTenantDown"}


@pytest.fixture(scope="module")
def watched(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service with people and a proxy's certificate, and a Prometheus that watches it."""
    folder = tmp_path_factory.mktemp("watched")
    with tls_server(made_certificate(folder, "-days", "90")) as address:

        def change(settings: dict[str, Any]) -> None:
            settings["gateway"]["tls_address"] = address

        service = Service(folder, change, gateway=True).start()
        prometheus = None
        try:
            (folder / "prometheus").mkdir()
            target = f"127.0.0.1:{service.gateway_port}"
            prometheus = Prometheus(folder / "prometheus", {TENANT: target})
            yield service, prometheus
        finally:
            service.kill()
            if prometheus is not None:
                prometheus.kill()


def use(app: App, number: int) -> None:
    """Requests of every kind: changes, searches, and some that fail."""
    token = app.enrol("staff", f"user{number}", version(number))
    app.result("face/identify", image=FACE, image_type="BASE64", group_id_list="staff")
    app.result("face/delete", group_id="staff", user_id=f"user{number}", face_token=token)
    assert app.code("face/detect", image=NOBODY, image_type="BASE64")


def shown(expression: str) -> str:
    """What Grafana asks for when all tenants are chosen."""
    return expression.replace("$__rate_interval", "1m").replace("$tenant", ".*")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_panel_has_data_the_rules_are_good_and_a_stopped_service_is_told_of(watched):
    service, prometheus = watched
    app = App(service.gateway_url, "till")
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", FACE)
    left = {shown(e) for one in DASHBOARDS for e in expressions(one.document())}
    assert len(left) > 40
    turns = iter(range(10_000))

    def all_have_data() -> bool:
        use(app, next(turns))
        left.difference_update([one for one in left if prometheus.query(one)])
        return not left

    assert wait_until(all_have_data, 150), left
    found = prometheus.rules()
    assert {rule["name"] for rule in found} == {
        one.get("alert") or one["record"] for one in rules()
    }
    assert wait_until(lambda: all(one["health"] == "ok" for one in prometheus.rules()), 60)
    assert [rule["lastError"] for rule in prometheus.rules() if rule.get("lastError")] == []
    for rule in rules():
        prometheus.query(rule["expr"])
    # A machine that is busy with something else may have missed a scrape.
    assert wait_until(lambda: not DOWN & set(prometheus.firing()), 60)
    variable = "count by (tenant) (face_gateway_requests_limit)"
    assert prometheus.query(variable) == {str({"tenant": TENANT}): 1.0}

    assert service.stop() == 0
    assert wait_until(lambda: set(prometheus.firing()) >= DOWN, 60)
    for alert in (one for several in prometheus.firing().values() for one in several):
        told = alert["annotations"]
        assert "error" not in told["summary"] + told["description"]
        if alert["labels"]["alertname"] in DOWN:
            assert TENANT in told["summary"]
            assert alert["labels"]["severity"] == alerts()["FaceGatewayDown"]["labels"]["severity"]
