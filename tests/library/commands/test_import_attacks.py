"""Folders for `import` with what is no picture in them: links, pipes, devices, loops."""

from __future__ import annotations

import io
import json
import os
import pwd
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from library.commands.import_command import show_ignored
from library.commands.importing import Report
from library.commands.person_folders import scan_folders
from library.commands.safe_files import NotReadableError, read_regular
from settings.library import LibraryLimits
from tests.support.libraries.commands import store_of

pytestmark = pytest.mark.attack


def left_out(found, root: Path) -> dict[str, str]:
    """Reasons by names."""
    return {one.path.relative_to(root).as_posix(): one.reason for one in found.left_out}


@pytest.fixture
def hostile(tmp_path):
    """A folder with one good picture, and everything that is not to be read."""
    root = tmp_path / "people"
    person = root / "ada"
    person.mkdir(parents=True)
    (person / "good.png").write_bytes(b"a picture")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "other.png").write_bytes(b"somebody else's")
    (person / "link.png").symlink_to(secret / "other.png")
    (person / "dangling.png").symlink_to(tmp_path / "nowhere")
    (person / "folder").symlink_to(secret)
    (person / "loop").symlink_to(root)
    (root / "linked person").symlink_to(secret)
    os.mkfifo(person / "pipe.png")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(person / "socket.jpg"))
    (root / "stray.png").write_bytes(b"whose?")
    (person / "notes.txt").write_bytes(b"")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "a.png").write_bytes(b"")
    return root


def test_only_regular_files_are_pictures_and_the_rest_is_listed(hostile):
    found = scan_folders(hostile, LibraryLimits())
    (folder,) = found.folders
    assert [path.name for path in folder.pictures] == ["good.png"]
    assert left_out(found, hostile) == {
        "ada/link.png": "symlink",
        "ada/dangling.png": "symlink",
        "ada/folder": "symlink",
        "ada/loop": "symlink",
        "linked person": "symlink",
        "ada/pipe.png": "not_a_file",
        "ada/socket.jpg": "not_a_file",
        "stray.png": "no_folder",
    }
    assert sorted(path.name for path in found.ignored) == [".hidden", "notes.txt"]


def test_what_becomes_something_else_after_the_look_is_not_read(hostile, tmp_path):
    """Also not waited for: a pipe has no other end here, a terminal none that ever ends."""
    picture = hostile / "ada" / "good.png"
    for name, reason in (("link.png", "symlink"), ("pipe.png", "not_a_file")):
        with pytest.raises(NotReadableError) as error:
            read_regular(hostile / "ada" / name, 1000)
        assert error.value.reason == reason
    for path in (Path("/dev/zero"), Path("/dev/full"), hostile, hostile / "ada" / "socket.jpg"):
        with pytest.raises(NotReadableError) as error:
            read_regular(path, 1000)
        assert error.value.reason == "not_a_file"
    with pytest.raises(NotReadableError) as error:
        read_regular(picture, 3)
    assert error.value.reason == "too_large"
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NotReadableError) as error:
        read_regular(sparse, 1000)
    assert error.value.reason == "too_large"
    assert read_regular(picture, 9) == b"a picture"


def test_a_folder_that_may_not_be_read_is_listed():
    root = Path(tempfile.mkdtemp(prefix="people-"))
    for name in ("ada", "closed"):
        (root / name).mkdir()
        (root / name / "a.png").write_bytes(b"")
    root.chmod(0o755)
    (root / "closed").chmod(0)
    try:
        if os.geteuid() == 0:
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        found = scan_folders(root, LibraryLimits())
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (root / "closed").chmod(0o700)
        shutil.rmtree(root)
    assert left_out(found, root) == {"closed": "unreadable"}
    assert [folder.name for folder in found.folders] == ["ada"]


def test_what_phones_write_is_a_picture_and_what_is_not_looked_at_is_named(tmp_path):
    person = tmp_path / "ada"
    person.mkdir()
    names = ["1.HEIC", "2.heif", "3.avif", "4.gif", "5.tif", "6.TIFF", "7.jfif"]
    for name in (*names, "film.mov", "[red]notes"):
        (person / name).write_bytes(b"")
    found = scan_folders(tmp_path, LibraryLimits())
    assert [path.name for path in found.folders[0].pictures] == names
    report = Report("app", "staff", ignored=[path.name for path in found.ignored])
    out = io.StringIO()
    show_ignored(report, Console(file=out, width=200))
    assert out.getvalue() == "not looked at: [red]notes, film.mov\n"


@pytest.mark.service
def test_an_import_of_such_a_folder_ends_and_tells(hostile, people, run, tmp_path):
    shutil.copy(people / "Eileen Collins" / "portrait.png", hostile / "ada" / "good.png")
    # A name that is no text, and one that a terminal would obey.
    shutil.copy(people / "Eileen Collins" / "dark.jpg", os.fsencode(hostile / "ada") + b"/\xff.jpg")
    (hostile / "ada" / "\x1b[2J.png").write_bytes(b"no picture")
    report = tmp_path / "report.json"
    status, out, _ = run("import", hostile, "--group", "staff", "--report", report)
    assert status == 1
    assert "2 of 11 pictures enrolled" in out
    assert "\x1b" not in out
    assert "not looked at: .hidden, ada/notes.txt" in " ".join(out.split())
    document = json.loads(report.read_text(encoding="utf-8"))
    assert len(document["refused"]) == 9
    assert sorted(document["ignored"]) == [".hidden", "ada/notes.txt"]
    with store_of(tmp_path) as store:
        assert store.users("default", "staff") == ["ada"]
