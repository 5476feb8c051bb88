"""Fixtures of the tests that ask the running gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway.client import FACE, STYLES, App, new_app
from tests.support.gateway.guarded_service import GuardedService
from tests.support.service import Service


@pytest.fixture(scope="session")
def access_service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service that asks for keys, started once."""
    running = GuardedService(tmp_path_factory.mktemp("guarded"))
    running.start()
    yield running
    running.kill()
    running.keys.close()


@pytest.fixture
def app(service: Service) -> Iterator[App]:
    """An app that is this test's own; it is made with its first group."""
    made = App(service.gateway_url, new_app())
    yield made
    made.client.close()


@pytest.fixture
def populated(app: App) -> App:
    """Two groups and a user of the first with one face."""
    app.result("group/add", group_id="staff")
    app.result("group/add", group_id="guests")
    app.enrol("staff", "eileen", FACE, user_info="astronaut")
    return app


@pytest.fixture(params=list(STYLES))
def any_app(service: Service, request: pytest.FixtureRequest) -> Iterator[App]:
    """The same in every way of asking: both spellings, JSON and forms, appid here and there."""
    made = App(service.gateway_url, new_app(), STYLES[request.param])
    yield made
    made.client.close()


@pytest.fixture(scope="session")
def insider(access_service: GuardedService) -> App:
    """A client of the service that asks for keys, with one to write."""
    return access_service.client("write", new_app())
