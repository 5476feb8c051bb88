"""Fixtures of the tests of the running service, from outside."""

from __future__ import annotations

import pytest

from tests.support.gateway.fixtures import insider  # noqa: F401 - a fixture
from tests.support.gateway.http_ports import Port, port_of
from tests.support.service import Service


@pytest.fixture(params=["pipeline", "gateway"])
def port(service: Service, request: pytest.FixtureRequest) -> Port:
    """Each of the two ports for HTTP."""
    return port_of(service, request.param)
