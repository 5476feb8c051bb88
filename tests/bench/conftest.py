"""Fixtures of the tests whose measurements ask a running gateway."""

from tests.support.gateway.fixtures import app  # noqa: F401 - a fixture
