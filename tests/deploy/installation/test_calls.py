"""A release's own programs, run by its own interpreter."""

from __future__ import annotations

import pytest

from deploy.installation import release
from deploy.installation.calls import Programs
from deploy.installation.errors import InstallError
from deploy.installation.host import Host
from deploy.installation.layout import Layout
from library.sql import schema
from tests.support.service import ROOT


@pytest.fixture
def programs(tmp_path) -> Programs:
    """Of a release that is all of the project, with this environment."""
    folder = tmp_path / "release"
    folder.mkdir()
    release.copy(ROOT, folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return Programs(folder, Layout(tmp_path, "/opt"), Host(staged=True))


def test_a_release_is_asked_for_its_migrations(programs):
    assert programs.heads().library == schema.head(schema.LIBRARY)


def test_a_program_that_fails_is_named_with_its_status(programs, tmp_path):
    with pytest.raises(InstallError, match=r"deploy migrate --show .* ended with status 2"):
        programs.try_settings()
    assert not list(tmp_path.rglob("*.db"))
