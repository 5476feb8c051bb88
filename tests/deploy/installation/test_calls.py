"""A release's own programs, run by its own interpreter."""

from __future__ import annotations

import pytest

from deploy.installation import release
from deploy.installation.calls import Programs, check_first
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


def test_a_machine_is_checked_by_what_the_release_has_for_it(tmp_path):
    """Stands for `deploy check`: told the role and the settings, by this Python."""
    layout = Layout(tmp_path, "/opt")
    project = tmp_path / "project"
    (project / "deploy").mkdir(parents=True)
    told = project / "told"
    for status in (0, 1):
        note = f"open({str(told)!r}, 'w').write(' '.join(sys.argv[1:]))"
        # Of another length each time, or Python may take what it has compiled within this second.
        program = f"import sys; {note}; sys.exit({status})" + status * "  #"
        (project / "deploy" / "__main__.py").write_text(program)
        assert check_first(project, layout, "gateway") == (status == 0)
    assert told.read_text() == f"check --for gateway --config {project}/config.yml"
