"""The models recognise people: the targets on a gallery, when it and the models are here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import accuracy
from tests.conftest import SHARED

GALLERY = SHARED / "faces/friends/gallery"


@pytest.fixture
def gallery() -> Path:
    if not GALLERY.is_dir():
        pytest.skip(f"{GALLERY} is not here")
    return GALLERY


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recognition", "tar_at_1e2", "tar_at_1e3"),
    [("mobilefacenet_128", 0.95, 0.88), ("sface", 0.94, 0.80), ("face_resnet_128", 0.92, 0.78)],
)
def test_people_are_recognised_and_no_picture_is_without_a_face(
    models: Path,
    gallery: Path,
    tmp_path: Path,
    recognition: str,
    tar_at_1e2: float,
    tar_at_1e3: float,
) -> None:
    if not (models / recognition / "model.yml").is_file():
        pytest.skip(f"{recognition} has not been converted")
    out = tmp_path / "report.json"
    arguments = ["--gallery", str(gallery), "--recognition", str(models / recognition)]
    assert accuracy.main([*arguments, "--json", str(out)]) == 0
    report = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert report["missed"] == report["unreadable"] == []
    assert report["verification"]["tar"]["0.01"] >= tar_at_1e2
    assert report["verification"]["tar"]["0.001"] >= tar_at_1e3
    assert report["rank1"] >= 0.98


def test_a_gallery_that_is_not_there_is_one_line_and_status_1(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accuracy.main(["--gallery", str(tmp_path / "none")]) == 1
    printed = capsys.readouterr().err.strip()
    assert "none" in printed
    assert "\n" not in printed
