"""Pictures of people, and ``python -m library`` on a library of its own, for tests."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import yaml
from skimage import data

from library.store.store import Store
from settings.library import LibraryConfig

# The user id of the people's Eileen Collins.
EILEEN = "Eileen_Collins_7e608f917cfc86100706"


def png(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder a person; what an import refuses is among the pictures."""
    folder = tmp_path_factory.mktemp("people")
    face = np.ascontiguousarray(data.astronaut()[:, :, ::-1])
    small = np.zeros_like(face)
    small[:256, :256] = cv2.resize(face, (256, 256), interpolation=cv2.INTER_AREA)
    pictures = {
        "Eileen Collins/portrait.png": png(face),
        "Eileen Collins/sub/mirrored.png": png(cv2.flip(face, 1)),
        "Eileen Collins/again.png": png(face),
        "Eileen Collins/dark.jpg": cv2.imencode(".jpg", face // 2)[1].tobytes(),
        "odd/two.png": png(np.hstack([face, face])),
        "odd/nobody.png": png(np.full((200, 200, 3), 90, np.uint8)),
        "odd/text.jpg": b"this is no picture",
        "odd/small.png": png(small),
        "odd/blurred.png": png(cv2.GaussianBlur(face, (0, 0), 3)),
        "odd/notes.txt": b"not looked at",
    }
    for name, content in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def library_settings(service, tmp_path):
    """A function that writes settings for a library of this test; their path."""

    def write(**library):
        settings = yaml.safe_load(service.config.read_text())
        settings["library"] = {"database": "sqlite:///faces.db", **library}
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write


@pytest.fixture
def run(capsys, library_settings, tmp_path):
    """Runs a command with the settings last written; its status and what it printed."""
    # Paddle Serving, which the fixtures of services import, silences loggers that are there before.
    from library.__main__ import main

    library_settings()

    def command(*arguments):
        status = main([*map(str, arguments), "--config", str(tmp_path / "config.yml")])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return status, printed.out, printed.err

    return command


def store_of(tmp_path):
    return Store(LibraryConfig(folder=tmp_path, database="sqlite:///faces.db"))


def eileen(run, people, *arguments):
    folder = people.parent / "only-eileen"
    folder.mkdir(exist_ok=True)
    if not (folder / "Eileen Collins").exists():
        shutil.copytree(people / "Eileen Collins", folder / "Eileen Collins")
    return run("import", folder, "--group", "staff", *arguments)
