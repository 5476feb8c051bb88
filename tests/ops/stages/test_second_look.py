"""The second look and the alignment without the service: what they cost, and single steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import turned
from bench.turned import turn
from ops.local import LocalPipeline
from ops.stages.alignment import align_faces
from ops.stages.detection import distinct, doubtful, is_unsure, merged
from ops.stages.landmark import distinct as distinct_faces
from tests.conftest import SHARED
from tests.support import pictures
from tests.support.models.recognisers import chosen_recogniser
from tests.support.pictures import astronaut
from vision.face import Detections, Face, Landmarks
from vision.plausibility import logits
from vision.quarters import Quarters
from vision.suppression import nesting

GALLERY = SHARED / "faces/friends/gallery"


def found(*boxes: tuple[float, float, float, float, float]) -> Detections:
    """Detections x1 y1 x2 y2 score, without keypoints."""
    rows = np.array(boxes, np.float32).reshape(-1, 5)
    return Detections(rows[:, :4], rows[:, 4])


@pytest.fixture(scope="module")
def pipeline(models: Path) -> LocalPipeline:
    return LocalPipeline({"Detection": [models / "blazeface"], "Landmark": [models / "facemesh"]})


@pytest.fixture
def counted(pipeline: LocalPipeline, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Samples that the detector and the landmark model looked at."""
    counts = [0, 0]
    for number, worker in enumerate(pipeline._workers):
        runner = worker.runners[0]

        def run(samples, timing, number=number, run=runner.run):
            counts[number] += len(samples)
            return run(samples, timing)

        monkeypatch.setattr(runner, "run", run)
    return counts


def test_an_upright_face_costs_one_look_of_each_model(
    pipeline: LocalPipeline, counted: list[int]
) -> None:
    assert len(pipeline.analyze(astronaut())) == 1
    assert counted == [1, 1]


def test_a_picture_in_which_there_is_nothing_costs_one_look(
    pipeline: LocalPipeline, counted: list[int]
) -> None:
    assert pipeline.analyze(np.full((480, 640, 3), 90, np.uint8)) == []
    assert counted == [1, 0]


def test_a_face_on_its_head_costs_a_bounded_number_of_looks(
    pipeline: LocalPipeline, counted: list[int]
) -> None:
    assert len(pipeline.analyze(turn(astronaut(), 180))) == 1
    assert counted[0] <= 2
    assert counted[1] <= 9


@pytest.mark.parametrize("shape", [(300, 500, 3), (500, 300, 3), (40, 30, 3), (1, 900, 3)])
def test_what_is_found_in_a_turned_copy_lies_at_its_place_in_the_picture(shape) -> None:
    height, width = shape[:2]
    picture = np.zeros(shape, np.uint8)
    top, left, bottom, right = (int(v) for v in (height / 6, width / 5, height / 3, width / 2))
    picture[top : max(bottom, top + 1), left:right] = 255
    view = Quarters.of(picture)
    half = len(view.pixels) // 2
    for row in (0, half):
        for column in (0, half):
            ys, xs = np.nonzero(view.pixels[row : row + half, column : column + half, 0] > 100)
            box = [xs.min() + column, ys.min() + row, xs.max() + 1 + column, ys.max() + 1 + row]
            seen = found((*box, 0.9))
            seen.keypoints = np.array([[box[:2], box[2:]]], np.float32) - 0.5
            (placed,) = view.to_picture(seen).boxes
            pixel = max(width, height) / 256 + 1
            expected = [left, top, right, max(bottom, top + 1)]
            np.testing.assert_allclose(placed, expected, atol=pixel)
            corners = view.to_picture(seen).keypoints[0] + 0.5
            assert corners[:, 0].min() == pytest.approx(placed[0], abs=0.01)
            assert corners[:, 1].max() == pytest.approx(placed[3], abs=0.01)


def test_nothing_found_in_copies_is_nothing_in_the_picture() -> None:
    assert len(Quarters.of(astronaut()).to_picture(found())) == 0


def test_of_nested_boxes_the_surer_one_stays() -> None:
    nested = found((0, 0, 100, 100, 0.7), (20, 20, 60, 60, 0.9), (200, 0, 300, 100, 0.8))
    kept = distinct(nested)
    np.testing.assert_allclose(kept.scores, [0.9, 0.8])
    assert nesting(nested.boxes[:1], nested.boxes[1:2])[0, 0] == 1


def test_boxes_side_by_side_are_two_faces() -> None:
    assert len(distinct(found((0, 0, 100, 100, 0.7), (60, 0, 160, 100, 0.9)))) == 2


@pytest.mark.parametrize(
    ("boxes", "unsure"),
    [
        ([], False),
        ([(0, 0, 90, 90, 0.95)], False),
        ([(0, 0, 400, 400, 0.95)], False),
        ([(0, 0, 400, 400, 0.7)], True),
        ([(0, 0, 90, 90, 0.7)], False),
        ([(0, 0, 400, 400, 0.2)], True),
        ([(0, 0, 90, 90, 0.2)], False),
        ([(0, 0, 400, 400, 0.95), (250, 0, 650, 400, 0.9)], True),
    ],
)
def test_large_doubtful_faces_are_looked_at_again(boxes, unsure) -> None:
    detections = found(*boxes)
    doubt = doubtful(detections, 1000, 0.4)
    assert is_unsure(detections, doubt, 1000, 0.4) == unsure


def test_a_small_picture_without_a_face_is_looked_at_again() -> None:
    nothing = found()
    assert is_unsure(nothing, doubtful(nothing, 112, 0.4), 112, 0.4)


def test_the_second_look_replaces_what_was_doubtful_and_nothing_else() -> None:
    first = found((0, 0, 400, 400, 0.7), (800, 800, 900, 900, 0.9))
    second = found((100, 0, 600, 500, 0.65))
    both = merged(first, doubtful(first, 1000, 0.4), second)
    np.testing.assert_allclose(both.scores, [0.9, 0.65])
    np.testing.assert_array_equal(both.compared, [False, True])
    assert merged(first, doubtful(first, 1000, 0.4), found()) is first


def test_two_faces_with_the_same_points_are_one() -> None:
    points = np.array([[30, 30], [60, 30], [45, 50], [35, 70], [55, 70]], np.float32)
    one, same, other = (
        Face(np.zeros(4), score, landmarks=points + shift)
        for score, shift in ((0.6, 0), (0.8, 3), (0.7, 200))
    )
    assert distinct_faces([one, same, other]) == [same, other]
    assert distinct_faces([one]) == [one]


def test_landmarks_without_a_mesh_are_taken_by_their_score() -> None:
    face = Face(np.array([0, 0, 50, 50], np.float32), 0.9)
    for score, is_face in ((0.9, True), (0.1, False)):
        given = Landmarks(np.zeros((5, 2), np.float32), None, score)
        (aligned,) = align_faces(lambda samples, g=given: [g] * len(samples), [(None, face)])
        assert aligned.landmarks is given
        assert (aligned.is_face, aligned.is_sure) == (is_face, True)


def test_meshes_that_are_no_face_at_any_turn_are_dropped_after_a_few_looks() -> None:
    looks = []
    nonsense = np.random.RandomState(5).uniform(0, 50, (468, 3)).astype(np.float32)

    def look(samples):
        looks.append(len(samples))
        return [Landmarks(np.zeros((5, 2), np.float32), nonsense, 0.01) for _ in samples]

    weak = Face(np.array([0, 0, 50, 50], np.float32), 0.45)
    strong = Face(np.array([0, 0, 50, 50], np.float32), 0.65)
    for face, expected in ((weak, 1), (strong, 4)):
        looks.clear()
        (aligned,) = align_faces(look, [(np.zeros((60, 60, 3), np.uint8), face)])
        assert not aligned.is_face
        assert sum(looks) == expected
    assert align_faces(look, []) == []


def test_logits_end_where_they_are_told_to() -> None:
    assert logits(np.array([0.0, 0.5, 1.0]), 1e-4) == pytest.approx([-9.21, 0, 9.21], abs=0.01)


def test_a_picture_turned_four_quarters_is_itself() -> None:
    picture = astronaut()
    for _ in range(4):
        picture = turn(picture, 90)
    np.testing.assert_array_equal(picture, astronaut())
    assert turn(astronaut(), 45).shape[0] > 700


@pytest.mark.slow
def test_at_every_quarter_turn_the_gallerys_faces_are_found_and_no_strangers_are_alike(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not GALLERY.is_dir():
        pytest.skip(f"{GALLERY} is not here")
    recogniser = str(chosen_recogniser())
    arguments = ["--gallery", str(GALLERY), "--recognition", recogniser]
    assert turned.main(arguments) == 0, capsys.readouterr().out
    assert "270" in capsys.readouterr().out


def test_a_gallery_that_is_not_there_is_one_line_and_status_1(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert turned.main(["--gallery", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err


def test_the_sample_face_is_sure_at_every_turn(pipeline: LocalPipeline) -> None:
    for degrees in (0, 90, 180, 270):
        (face,) = pipeline.analyze(turn(pictures.astronaut(), degrees))
        assert face.is_aligned
