"""Embeddings of several runs: of the mirrored face, too, and of several networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from inference.manifest import Manifest
from inference.runner import Runner, Timing
from ops.local import LocalPipeline
from ops.stages.arcface import ArcFaceWorker
from settings.dag import OpConfig
from tests.support.models.recognisers import OneByOne, chosen_recogniser, recogniser_manifest
from vision.face import Face
from vision.geometry import align

FACE = Face(
    box=np.float32([170, 60, 280, 200]),
    score=1.0,
    landmarks=np.float32([[201, 108], [246, 108], [228, 134], [203, 156], [246, 156]]),
)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def samples(count: int) -> list[tuple[np.ndarray, Face]]:
    """Different pictures of one face."""
    return [(np.roll(astronaut(), 3 * number, axis=1), FACE) for number in range(count)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_mirrored_faces_keep_their_place_in_batches_of_any_size(
    tmp_path: Path, batch_size: int, count: int
) -> None:
    model = OneByOne(recogniser_manifest(tmp_path, "made"))
    runner = Runner(model, batch_size)
    given = samples(count)
    both = runner.run_mirrored(given, Timing())
    assert max(model.runs) <= batch_size
    assert len(both) == count
    for (plain, mirrored), sample in zip(both, given):
        out = np.empty(runner.adapter.sample_shape, np.float32)
        runner.adapter.prepare(*sample, out)
        assert plain == pytest.approx(unit(out.sum(axis=(0, 1))[:4]), abs=1e-5)
        assert mirrored == pytest.approx(unit(out[:, :, ::-1].sum(axis=(0, 1))[:4]), abs=1e-5)


def test_networks_are_joined_face_by_face(tmp_path: Path) -> None:
    """In the order of the settings, each by its weight, whatever the batches."""
    models = [
        OneByOne(recogniser_manifest(tmp_path, name, dim, impostor_mean=0.0, threshold=0.5))
        for name, dim in (("one", 4), ("other", 6))
    ]
    given = samples(5)
    runners = [Runner(models[0], 2), Runner(models[1], 3)]
    op = OpConfig(models=("one", "other"), weights=(1.0, 2.0))
    joined = ArcFaceWorker.with_settings(runners, op).embeddings(given, Timing())
    first, second = (np.array(runner.run(given, Timing())) for runner in runners)
    assert joined == pytest.approx(unit(np.hstack([first, 2 * second])), abs=1e-6)
    manifests = [model.manifest for model in models]
    assert ArcFaceWorker.title(manifests, op) == "one:1+other:2"


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    return align(astronaut(), FACE.landmarks)


def embedding(models: Path, op: OpConfig, directories: list[Path], crop: np.ndarray) -> np.ndarray:
    """Of an aligned face, by the service's stages."""
    stages = {"Detection": [models / "blazeface"], "ArcFace": directories}
    (face,) = LocalPipeline(stages, ops={"ArcFace": op}).analyze(
        crop, want=("embedding",), aligned=True
    )
    return face.embedding


def test_with_flip_the_embedding_is_the_mean_with_the_mirrored_face(
    models: Path, crop: np.ndarray
) -> None:
    directories = [chosen_recogniser()]
    # Most networks' input is the aligned picture itself; this family's is cut from around it.
    least = 0.999 if Manifest.load(directories[0]).family == "dlib_resnet" else 0.99999
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    plain, other = (
        embedding(models, OpConfig(), directories, picture) for picture in (crop, mirrored)
    )
    found = embedding(models, OpConfig(flip=True), directories, crop)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    assert found @ unit(plain + other) > least
    assert max(found @ plain, found @ other) < 0.9999
