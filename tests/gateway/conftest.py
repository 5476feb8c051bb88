"""Fixtures of the tests that ask a running gateway."""

from tests.support.gateway.fixtures import (  # noqa: F401 - fixtures
    any_app,
    app,
    insider,
    populated,
)
