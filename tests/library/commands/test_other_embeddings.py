"""Embeddings that were made in another way are refused, until `reembed` has taken them over."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
import yaml
from skimage.data import astronaut

from client.pipeline.answer import Answer, FaceAnswer, ImageAnswer
from inference.recogniser import load_recogniser
from library.__main__ import main
from library.commands.session import Session
from library.errors import ModelMismatchError
from library.library import Library
from library.records import Enrolment, NewFace
from library.store.store import Store
from ops.local import LocalPipeline
from settings.dag import OpConfig
from tests.support.libraries.in_folder import library_config
from tests.support.models.recognisers import renamed
from tests.support.service import ROOT
from vision.geometry import align

# The astronaut's, and the same a little shifted: another picture of her.
POINTS = np.float32([[201, 108], [246, 108], [228, 134], [203, 156], [246, 156]])
CROPS = [align(astronaut(), POINTS + shift) for shift in (0, 4)]
APP = "shop"


class InProcess:
    """In place of a service: its stages, in this process."""

    def __init__(self, models, directories, op):
        self._pipeline = LocalPipeline(
            {"Detection": [models / "blazeface"], "ArcFace": directories}, ops={"ArcFace": op}
        )
        self.recogniser = load_recogniser(directories, op.weights, op.flip)

    def predict(self, picture, options):
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
        (face,) = self._pipeline.analyze(pixels[:, :, ::-1], want=("embedding",), aligned=True)
        found = FaceAnswer((0, 0, 112, 112), 1.0, embedding=face.embedding)
        return Answer(ImageAnswer(112, 112, (found,)), {"ArcFace": self.recogniser.name}, {})

    def close(self):
        pass


def png(crop):
    return cv2.imencode(".png", crop[:, :, ::-1])[1].tobytes()


def embedding(service, crop):
    answer = service.predict(base64.b64encode(png(crop)).decode(), None)
    return answer.image.faces[0].embedding


@pytest.fixture
def directories(models, tmp_path):
    return [renamed(tmp_path / "models", name) for name in ("one", "other")]


@pytest.mark.parametrize(
    ("kind", "count", "op", "name", "dim"),
    [
        ("exact", 1, OpConfig(flip=True), "one+flip", 128),
        ("approximate", 2, OpConfig(weights=(1.0, 1.5), flip=True), "one:1+other:1.5+flip", 256),
    ],
)
def test_faces_made_otherwise_are_refused_and_taken_over_by_reembed(
    models, directories, tmp_path, monkeypatch, capsys, kind, count, op, name, dim
):
    before = InProcess(models, directories[:1], OpConfig())
    after = InProcess(models, directories[:count], op)
    assert (after.recogniser.name, after.recogniser.dim) == (name, dim)
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    library = {"database": "sqlite:///faces.db", "store_crops": True, "index": {"kind": kind}}
    settings.update(models_dir="models", library=library)
    (tmp_path / "config.yml").write_text(yaml.safe_dump(settings))
    config = library_config(tmp_path, store_crops=True, index={"kind": kind})

    plain = embedding(before, CROPS[0])
    with Library(config, before.recogniser) as old:
        old.create_group(APP, "staff")
        face = NewFace(plain, "one", crop=png(CROPS[0]))
        old.enrol(APP, [Enrolment("staff", "eileen", face)])
    probe = embedding(after, CROPS[1])
    with Library(config, after.recogniser) as new:
        with pytest.raises(ModelMismatchError, match="has faces of one, 128 numbers each"):
            new.search(APP, [probe])
        with pytest.raises(ModelMismatchError, match="one"):
            new.enrol(APP, [Enrolment("staff", "ada", NewFace(plain, "one"))])
    with (
        Store(config) as store,
        pytest.raises(ModelMismatchError, match="faces are of one with 128 numbers"),
    ):
        store.enrol(APP, [Enrolment("staff", "ada", NewFace(probe, name))])

    monkeypatch.setattr(Session, "connect", lambda *_: after)
    settings_file = str(tmp_path / "config.yml")
    status = main(["reembed", "--model", name, "--app", APP, "--config", settings_file])
    assert (status, f"are of {name} now" in capsys.readouterr().out.replace("\n", " ")) == (0, True)
    with Library(config, after.recogniser) as new:
        ((hit,),) = new.search(APP, [probe])
        assert hit.user == "eileen"
        assert hit.score > 80
        with pytest.raises(ModelMismatchError, match="An embedding of one;"):
            new.enrol(APP, [Enrolment("staff", "ada", NewFace(plain, "one"))])
    with Library(config, before.recogniser) as old, pytest.raises(ModelMismatchError):
        old.search(APP, [plain])
