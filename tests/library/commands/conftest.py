"""Fixtures of the tests of ``python -m library``."""

from tests.support.libraries.commands import (  # noqa: F401 - fixtures
    library_settings,
    people,
    run,
)
