"""Fixtures of the converter's tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.models.tiny_models import convert_tiny, write_tiny_model


@pytest.fixture
def make_tiny(tmp_path):
    """Convert the tiny model into a directory of this test; takes another source or check."""
    return partial(convert_tiny, tmp_path)


@pytest.fixture
def tiny_export(tmp_path) -> Path:
    """A Paddle export of the tiny model."""
    write_tiny_model(tmp_path / "tiny-export")
    return tmp_path / "tiny-export"
