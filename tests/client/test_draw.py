"""Pictures that ``--save`` writes."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from client.cli import draw
from client.cli import scripts as cli
from client.cli.labels import place_labels
from client.cli.scripts import Client
from client.errors import UnreadableError
from client.pictures import Picture, sample_png
from client.pipeline.answer import FaceAnswer, ImageAnswer
from client.pipeline.http import HttpTransport
from tests.client.fake_service import FACE, LANDMARKS, FakeHttp, encoded, result
from tests.support import pictures

CLIENT = Client("http_client", "HTTP", "--url", "http://127.0.0.1:1/x", HttpTransport)
FACE_ANSWER = FaceAnswer((170.5, 60.25, 285, 195), 0.93, np.array(LANDMARKS, np.float32))


def changed(before, after):
    """(H, W) bool: pixels that differ clearly."""
    return np.abs(before.astype(int) - after.astype(int)).max(axis=2) > 40


@pytest.fixture
def grey():
    return np.full((512, 512, 3), 128, np.uint8)


def test_box_and_landmarks_are_where_the_answer_says(grey):
    drawn = changed(grey, draw.draw_faces(grey, [FACE_ANSWER]))
    for x, y in LANDMARKS:
        assert drawn[round(y), round(x)]
    for x, y in [(170, 130), (285, 130), (230, 195)]:
        assert drawn[y - 1 : y + 3, x - 1 : x + 3].any()
    assert not drawn[210:, :].any()
    assert not drawn[:, 300:].any()
    assert not drawn[140:150, 180:200].any()


def test_the_picture_that_is_drawn_on_is_left_as_it_is(grey):
    draw.draw_faces(grey, [FACE_ANSWER])
    assert (grey == 128).all()


def test_lines_grow_with_the_picture():
    widths = [draw.line_width(size, size) for size in (64, 512, 2048, 6000)]
    assert widths == sorted(set(widths))
    assert widths[0] == 1


def overlap(label, box):
    """Pixels that a label covers of a box."""
    across = min(label.right, box[2]) - max(label.left, box[0])
    down = min(label.bottom, box[3]) - max(label.top, box[1])
    return max(across, 0) * max(down, 0)


CROWDS = {
    "one above the other": [(200, 60, 280, 140), (200, 150, 280, 230), (200, 240, 280, 320)],
    "side by side at the top": [(10, 0, 90, 100), (100, 0, 180, 100), (190, 0, 270, 100)],
    "at the edges": [(0, 0, 60, 60), (452, 0, 512, 60), (0, 452, 60, 512), (452, 452, 512, 512)],
    "three rows": [(x, y, x + 70, y + 70) for y in (40, 160, 280) for x in (20, 130, 240, 350)],
}


@pytest.mark.parametrize("boxes", CROWDS.values(), ids=CROWDS)
def test_a_label_covers_no_other_face_and_no_other_label(boxes):
    texts = ["0.93 female 31 live 0.80"] * len(boxes)
    labels = place_labels(texts, np.array(boxes), [2] * len(boxes), 512, 512)
    for number, label in enumerate(labels):
        assert label.left >= 0
        assert label.top >= 0
        assert label.right <= 512
        assert label.bottom <= 512
        for other, box in enumerate(boxes):
            if other != number:
                assert overlap(label, box) == 0
        for later in labels[number + 1 :]:
            assert overlap(label, (later.left, later.top, later.right, later.bottom)) == 0


def test_a_label_stands_above_its_face_where_there_is_room():
    (label,) = place_labels(["0.93"], np.array([[100, 100, 200, 200]]), [2], 512, 512)
    assert label.bottom <= 100
    assert label.left == 98


@pytest.mark.parametrize("size", [1, 8, 40])
@pytest.mark.parametrize(
    "box",
    [(0, 0, 5, 5), (-50, -50, 900, 900), (3, 3, 3, 3), (30, 30, 39, 39), (-1e30, 1e30, 1e30, 2e30)],
)
def test_faces_at_and_over_the_edge_and_tiny_pictures_are_drawn(size, box):
    picture = np.zeros((size, size, 3), np.uint8)
    face = FaceAnswer(box, 0.5, np.array([[-20, 4]] * 5, np.float32))
    assert draw.draw_faces(picture, [face]).shape == picture.shape


def test_the_label_tells_score_gender_age_and_liveness():
    attributes = {"age": 31.4, "gender": {"type": "female", "probability": 0.9}}
    face = FaceAnswer((0, 0, 1, 1), 0.934, attributes=attributes, liveness=0.8)
    assert draw.caption(face) == "0.93 female 31 live 0.80"


def test_boxes_are_drawn_in_the_upright_picture(tmp_path):
    """EXIF orientation 6: stored lying, shown upright, as the service sees it."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(buffer, "JPEG", exif=exif)
    (tmp_path / "turned.jpg").write_bytes(buffer.getvalue())
    picture = Picture.from_file(tmp_path / "turned.jpg")
    assert draw.decode(picture, 40, 60).shape == (60, 40, 3)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "HEIC", "AVIF"])
def test_what_phones_and_browsers_save_is_drawn_upright(form):
    upright = np.ascontiguousarray(pictures.astronaut()[:200, :300])
    orientation = 1 if form == "GIF" else 6
    drawn = draw.upright(pictures.with_orientation(upright, orientation, form), "picture")
    assert drawn.shape == upright.shape
    assert np.abs(drawn[:, :, ::-1].astype(int) - upright).mean() < 6


def test_a_picture_that_opencv_cannot_decode_or_sees_in_another_size_is_refused(tmp_path):
    path = tmp_path / "x.png"
    for data in (b"", b"no picture", encoded(7, 5)):
        path.write_bytes(data)
        with pytest.raises(UnreadableError):
            draw.save(tmp_path, Picture.from_file(path), ImageAnswer(5, 7))


@pytest.fixture
def fake():
    server = FakeHttp()
    yield server
    server.stop()


def test_save_writes_the_sample_picture_small_enough_for_the_readme(fake, tmp_path):
    assert cli.main(CLIENT, ["--url", fake.address, "--save", str(tmp_path / "new" / "dir")]) == 0
    path = tmp_path / "new" / "dir" / "sample.jpg"
    saved = cv2.imread(str(path))
    original = cv2.imdecode(np.frombuffer(sample_png(), np.uint8), cv2.IMREAD_COLOR)
    drawn = changed(original, saved)
    assert drawn.any()
    assert drawn[300:].mean() < 0.01
    assert path.stat().st_size < 300 * 1024


def test_save_keeps_folders_and_skips_pictures_with_errors(fake, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "inner").mkdir(parents=True)
    for name in ("a.png", "inner/a.png"):
        (source / name).write_bytes(encoded(64, 48))
    (source / "bad.png").write_bytes(b"not a picture")
    fake.answer = lambda _p, _o: result(FACE, width=64, height=48)
    assert cli.main(CLIENT, ["--url", fake.address, str(source), "--save", str(target)]) == 1
    written = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.*"))
    assert written == ["a.jpg", "inner/a.jpg"]


def test_save_never_overwrites_a_picture_that_was_given(fake, tmp_path, capsys):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(64, 48, ".jpg"))
    before = path.read_bytes()
    assert cli.main(CLIENT, ["--url", fake.address, str(path), "--save", str(tmp_path)]) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_directory_that_cannot_be_written_is_a_clear_line(fake, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert cli.main(CLIENT, ["--url", fake.address, "--save", str(tmp_path / "file")]) == 1
    assert "not saved" in capsys.readouterr().err
