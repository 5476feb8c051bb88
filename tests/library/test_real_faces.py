"""Real faces: half of each person's pictures enrolled, the other half looked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from bench.accuracy import gallery_files, library_embedding
from inference.manifest import Manifest
from inference.scores import SAME_PERSON, Recogniser, Scores
from library.library import Library
from library.records import Enrolment, NewFace
from ops.errors import ServiceError
from ops.local import LocalPipeline
from settings.config import load_config
from tests.conftest import ROOT, SHARED
from tests.support.libraries.in_folder import library_config

GALLERY = SHARED / "faces" / "friends" / "gallery"
RANK1 = 0.98
FALSE_ACCEPTS = 1e-3


@pytest.fixture(scope="module")
def pipeline(models) -> LocalPipeline:
    config = load_config(ROOT / "config.yml")
    recogniser = models / "mobilefacenet_128"
    if not (recogniser / "model.yml").is_file():
        pytest.skip("mobilefacenet_128 has not been converted")
    finding = {stage: config.chosen_models(stage) for stage in ("Detection", "Landmark")}
    return LocalPipeline({**finding, "ArcFace": [recogniser]})


@pytest.fixture(scope="module")
def recogniser(models) -> Recogniser:
    manifest = Manifest.load(models / "mobilefacenet_128")
    assert manifest.embedding_dim is not None
    if manifest.calibration is None:
        pytest.skip("mobilefacenet_128 was converted before manifests had a calibration")
    scores = Scores(manifest.calibration.impostor_mean, manifest.calibration.threshold)
    return Recogniser(manifest.name, manifest.embedding_dim, scores)


def embeddings(pipeline: LocalPipeline) -> Iterator[tuple[str, np.ndarray]]:
    for person, file in gallery_files(GALLERY):
        try:
            embedding = library_embedding(pipeline, file.read_bytes())
        except ServiceError:
            continue
        if embedding is not None:
            yield person, embedding


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_people_are_found_by_other_pictures_and_taken_for_nobody_else(
    pipeline, recogniser, tmp_path, kind
):
    if not GALLERY.is_dir():
        pytest.skip(f"{GALLERY} is not there")
    by_person: dict[str, list[np.ndarray]] = {}
    for person, embedding in embeddings(pipeline):
        by_person.setdefault(person, []).append(embedding)
    settings = {"limits": {"faces_per_user": 1000}, "index": {"kind": kind, "storage": "auto"}}
    with Library(library_config(tmp_path, **settings), recogniser) as library:
        library.create_group("series", "friends")
        for person, found in by_person.items():
            faces = [NewFace(embedding, recogniser.name) for embedding in found[::2]]
            library.enrol("series", [Enrolment("friends", person, face) for face in faces])
        probes = [(person, one) for person, found in by_person.items() for one in found[1::2]]
        results = library.search("series", [one for _, one in probes], users=len(by_person))
    first = [hits[0].user == person for (person, _), hits in zip(probes, results)]
    print(f"rank-1 {np.mean(first):.4f} of {len(first)} probes")
    assert np.mean(first) >= RANK1
    wrong, compared = false_accepts(by_person, recogniser.scores)
    print(f"{wrong} of {compared} comparisons of different people at a score of {SAME_PERSON:g}")
    assert wrong <= FALSE_ACCEPTS * compared


def false_accepts(by_person: dict[str, list[np.ndarray]], scores: Scores) -> tuple[int, int]:
    """Enrolled faces that a probe of somebody else is taken for, and how many are compared."""
    wrong = compared = 0
    for person, found in by_person.items():
        others = [one for name, rest in by_person.items() if name != person for one in rest[::2]]
        cosines = np.array(found[1::2]) @ np.array(others).T
        wrong += int((scores.of_cosine(cosines) >= SAME_PERSON).sum())
        compared += cosines.size
    return wrong, compared
